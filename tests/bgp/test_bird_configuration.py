"""What BIRD is given to read, read back by BIRD itself."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from headrace.bgp.bird_configuration import render_bfd_only, render_bird
from headrace.bgp.relay.bird_text import render_routes
from headrace.bgp.relay.messages import Route
from headrace.lab.tools import find_tool
from headrace.model import Bgp

R1 = {"address": "10.9.1.254", "as": 65001}
R6 = {"address": "fd09::254", "as": 65001}
FULL = Route(7, ("64512:7", "64512:1:2"), 3, 200, "10.9.1.7")


def section(*peers: dict[str, Any], **keys: Any) -> Bgp:
    raw = {"as": 64512, "router_id": "10.9.1.1", "speaker": "bird", "peers": list(peers) or [R1]}
    return Bgp.model_validate(raw | keys)


def render(bgp: Bgp) -> str:
    return render_bird(bgp, log=Path("/run/a b/bird.log"), routes=Path("/run/a b/vips"))


def read_by_bird(text: str, directory: Path) -> None:
    """Fails with what BIRD says of a configuration."""
    configuration = directory / "bird.conf"
    configuration.write_text(text)
    command = [str(find_tool("bird")), "-p", "-c", str(configuration)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "bgp",
    [
        pytest.param(section(), id="the least"),
        pytest.param(section(R1 | {"password": "it's #;{} \\väter"}), id="a password"),
        pytest.param(section(R1 | {"gtsm": True, "multihop": 4}), id="GTSM over hops"),
        pytest.param(section(R1 | {"local_address": "10.9.1.1", "port": 1179}), id="both ends"),
        pytest.param(section(R6 | {"families": ["ipv4", "ipv6"]}), id="both families"),
        pytest.param(section(R6 | {"families": ["ipv4"], "extended_next_hop": True}), id="8950"),
        pytest.param(section(R1 | {"as": 64512}, R6), id="internal and external"),
        pytest.param(section(R1, R6 | {"bfd": False}, bfd={"interval_ms": 50}), id="BFD"),
        pytest.param(section(graceful_restart_s=10), id="restarts"),
    ],
)
def test_bird_reads_what_the_document_may_say(bgp: Bgp, tmp_path: Path) -> None:
    routes = tmp_path / "vips"
    routes.write_text(render_routes({"20.20.20.1/32": FULL, "2001:db8::/64": Route()}, 64512))

    read_by_bird(render_bird(bgp, log=tmp_path / "log", routes=routes), tmp_path)


def test_bird_reads_what_the_helper_is_told(tmp_path: Path) -> None:
    far = {"multihop": 3, "local_address": "fd09::1"}
    bgp = section(R1, R6 | far, {"address": "10.9.2.254", "as": 65001, "bfd": False}, bfd={})

    text = render_bfd_only(bgp, log=tmp_path / "log")

    read_by_bird(text, tmp_path)
    assert "neighbor 10.9.1.254;" in text
    assert "neighbor fd09::254 local fd09::1 multihop on;" in text
    assert "10.9.2.254" not in text
    assert "protocol bgp" not in text


@pytest.mark.parametrize(
    ("keys", "peer", "lines"),
    [
        pytest.param({}, {}, {"direct;", "ttl security off;", "hold time 9;"}, id="by default"),
        pytest.param({}, {"gtsm": True}, {"ttl security on;"}, id="GTSM"),
        pytest.param({}, {"multihop": 4}, {"multihop 4;"}, id="hops"),
        pytest.param({}, {"password": "x"}, {'password "x";'}, id="a password"),
        pytest.param({"bfd": {}}, {}, {"bfd on;"}, id="BFD"),
        pytest.param(
            {"graceful_restart_s": 9},
            {},
            {"graceful restart on; graceful restart time 9;"},
            id="restarts",
        ),
        pytest.param(
            {}, {"as": 64512}, {"ipv4 { import none; export filter to_internal; };"}, id="internal"
        ),
    ],
)
def test_a_session_is_as_the_document_says(
    keys: dict[str, Any], peer: dict[str, Any], lines: set[str]
) -> None:
    text = render(section(R1 | peer, **keys))

    assert lines <= {line.strip() for line in text.splitlines()}


def test_bfd_is_off_where_it_is_not_asked_for() -> None:
    assert "bfd" not in render(section())


def test_no_route_is_taken_from_a_peer_and_none_given_to_the_kernel() -> None:
    text = render(section(R1, R6 | {"families": ["ipv4", "ipv6"]}))

    assert text.count("import none;") == 3
    assert "import all" not in text
    assert "protocol kernel" not in text
