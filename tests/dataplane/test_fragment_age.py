"""How long the first fragment of a packet speaks for the later ones."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from headrace.dataplane import Dataplane, layout, libbpf
from headrace.dataplane.maps import HashMap
from headrace.model import Port, Protocol, ServiceEntry, ServiceKey
from headrace.model.limits import LIMIT_FRAGMENT_S

from .rig import LOOPBACK, OWN_MAC, path, reach

pytestmark = pytest.mark.bpf

VIP = "20.20.20.1"
DROP, REDIRECT = 1, 4


@pytest.fixture
def plane(pins: Path) -> Iterator[Dataplane]:
    plane = Dataplane(pins)
    plane.set_ports([Port("lo", LOOPBACK, (OWN_MAC,))])
    plane.put_endpoint(reach(1), path(reach(1)))
    plane.put_pool("dns", [reach(1)], [0] * 251, stamp=1)
    plane.put_service(ServiceKey(ip_address(VIP), Protocol.UDP, 53), ServiceEntry("dns"))
    yield plane
    plane.close()


def send(plane: Dataplane, payload: Packet, *, at: int, flags: str) -> int:
    """Send a fragment of one datagram; the XDP code that it came to."""
    ip = IP(src="1.1.1.1", dst=VIP, id=7, proto=17, flags=flags, frag=at)
    code, _ = libbpf.run_program(
        plane.program_fd, bytes(Ether(dst=OWN_MAC.hex(":")) / ip / payload)
    )
    return code


@pytest.mark.parametrize(
    ("age_s", "code"),
    [
        pytest.param(LIMIT_FRAGMENT_S - 2, REDIRECT, id="as long as a receiver waits"),
        pytest.param(LIMIT_FRAGMENT_S + 2, DROP, id="and no longer"),
    ],
)
def test_a_first_fragment_speaks_for_later_ones(plane: Dataplane, age_s: int, code: int) -> None:
    send(plane, UDP(sport=1000, dport=53, len=40) / Raw(bytes(16)), at=0, flags="MF")
    known = HashMap(plane._loader.map_fds["fragments"], layout.FragmentKey, layout.Fragment)
    key, first = next(iter(known.items()))
    first.seen_s -= age_s
    known.put(key, first)

    assert send(plane, Raw(bytes(16)), at=3, flags="") == code
