"""What a load balancer sent on counts as unchanged only if every byte inside is."""

from ipaddress import IPv4Address

import pytest

from headrace.lab.demo_packets import unchanged_count
from headrace.model.values import Tunnel

TUNNEL = Tunnel(*map(IPv4Address, ("56.56.56.1", "31.31.31.253", "31.31.31.1")))
OUTER = bytes.fromhex("45000000 00000000 40040000 1f1f1ffd 1f1f1f01")
FIRST, SECOND = b"first packet", b"second packet"


def changed(packet: bytes, position: int) -> bytes:
    """The packet with one bit of one byte turned."""
    return packet[:position] + bytes([packet[position] ^ 1]) + packet[position + 1 :]


@pytest.mark.parametrize(
    ("left", "count"),
    [
        pytest.param([OUTER + FIRST, OUTER + SECOND], 2, id="both as they came"),
        pytest.param([OUTER + SECOND, OUTER + FIRST], 2, id="in another order"),
        pytest.param([OUTER + FIRST], 1, id="one is missing"),
        pytest.param([OUTER + FIRST, OUTER + FIRST], 1, id="one twice, the other never"),
        pytest.param([OUTER + FIRST, OUTER + changed(SECOND, 3)], 1, id="a bit inside is another"),
        pytest.param([OUTER + FIRST, OUTER + SECOND + b"\0"], 1, id="a byte more"),
        pytest.param([OUTER + FIRST, SECOND], 1, id="no outer header"),
        pytest.param([OUTER + FIRST, changed(OUTER, 0) + SECOND], 1, id="no IPv4 header"),
        pytest.param([OUTER + FIRST, changed(OUTER, 9) + SECOND], 1, id="another protocol"),
        pytest.param([OUTER + FIRST, changed(OUTER, 15) + SECOND], 1, id="another source"),
        pytest.param([OUTER + FIRST, changed(OUTER, 19) + SECOND], 1, id="another destination"),
        pytest.param([], 0, id="nothing"),
    ],
)
def test_only_packets_that_left_in_the_tunnel_as_they_came_count(
    left: list[bytes], count: int
) -> None:
    assert unchanged_count([FIRST, SECOND], left, TUNNEL) == count
