"""What a balancer of the demo is told: the seed's command, and a document the model accepts."""

import json
from ipaddress import IPv4Address

import pytest

from headrace.lab.balancer import render_document, rule_arguments
from headrace.lab.topologies import DEMO
from headrace.model import parse_document


def test_the_rule_is_made_by_the_seeds_command_word_for_word() -> None:
    endpoints = [IPv4Address(text) for text in ("56.56.56.1", "57.57.57.1", "58.58.58.1")]

    assert " ".join(rule_arguments(DEMO, endpoints)) == (
        "create lb 20.20.20.1 --select=hash --tcp=8080:8080 "
        "--endpoints=56.56.56.1:1,57.57.57.1:1,58.58.58.1:1 --mode=dsr --bgp"
    )


@pytest.mark.parametrize("node", ["llb1", "llb2"])
@pytest.mark.parametrize("has_ipip", [True, False])
def test_the_document_is_valid(node: str, *, has_ipip: bool) -> None:
    document = render_document(DEMO, DEMO.node(node), has_ipip=has_ipip)

    parsed = parse_document(json.dumps(document))

    assert parsed.bgp is not None
    assert parsed.node.interfaces == (f"e{node}r1",)
    assert len(parsed.node.tunnels) == (0 if has_ipip else 3)
