"""What differs between two documents."""

from typing import Any

import pytest

from headrace.model import parse_document
from headrace.model.comparing import Difference, compare_values, document_values, dump_yaml

WEB: dict[str, Any] = {"vip": "20.20.20.1", "protocol": "tcp", "port": 80, "pool": "web"}
DNS: dict[str, Any] = WEB | {"protocol": "udp", "port": 53}
ONE: dict[str, Any] = {"address": "1.1.1.1"}
TWO: dict[str, Any] = {"address": "1.1.1.2"}


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ({}, {}, Difference()),
        ({}, {"services": [WEB]}, Difference(added=("services",))),
        (
            {"services": [WEB]},
            {"services": [DNS, WEB]},
            Difference(added=("services[20.20.20.1:53/udp]",)),
        ),
        (
            {"services": [WEB, DNS]},
            {"services": [DNS, WEB]},
            Difference(changed=("services (order)",)),
        ),
        (
            {"pools": {"web": {"endpoints": [ONE, TWO]}}},
            {"pools": {"web": {"endpoints": [TWO | {"weight": 3}]}}},
            Difference(
                added=("pools.web.endpoints[1.1.1.2].weight",),
                removed=("pools.web.endpoints[1.1.1.1]",),
            ),
        ),
        (
            {"node": {"interfaces": ["eth0"], "name": "a"}},
            {"node": {"interfaces": ["eth1"], "name": "b"}},
            Difference(changed=("node.interfaces", "node.name")),
        ),
        (
            {"pools": {"a/b": {"slots": 1}}},
            {"pools": {"a/b": {"slots": 2}}},
            Difference(changed=("pools['a/b'].slots",)),
        ),
        ({"services": [WEB, WEB]}, {"services": [WEB]}, Difference(changed=("services",))),
        ({}, [], Difference(changed=("the document",))),
    ],
)
def test_paths_name_what_differs(before: object, after: object, difference: Difference) -> None:
    assert compare_values(before, after) == difference


def test_a_difference_is_told_in_one_line() -> None:
    difference = Difference(added=("a", "b", "c", "d", "e"), removed=("f",))

    assert str(difference) == "added a, b, c and 2 more; removed f"
    assert str(Difference()) == "nothing"


def test_canonical_yaml_of_equal_documents_is_equal_and_is_read_back() -> None:
    one = parse_document("services: []\nnode: {name: a, drain: false}")
    other = parse_document('{"node": {"name": "a"}}')

    text = dump_yaml(document_values(one))

    assert text == dump_yaml(document_values(other)) == "node:\n  name: a\n"
    assert parse_document(text) == one
