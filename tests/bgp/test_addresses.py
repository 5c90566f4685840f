"""The own address of the other family, beside a session's."""

import array
import json
import socket
import struct
import subprocess
import sys

import pytest

from headrace.bgp.exabgp_configuration import RELAY
from headrace.bgp.relay.addresses import decode_ipv4, decode_ipv6
from tests.bgp.support import Network

ASK = """
import json, sys
sys.path.append(sys.argv[1])
from relay.addresses import address_beside
print(json.dumps([address_beside(local) for local in sys.argv[2:]]))
"""


def entry(name: str, address: str) -> bytes:
    """A `struct ifreq`."""
    body = struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(address))
    return name.encode().ljust(16, b"\0") + body.ljust(24, b"\0")


def test_a_labelled_address_belongs_to_its_interface() -> None:
    data = array.array("B", entry("eth0", "10.0.0.1") + entry("eth0:1", "10.0.0.2")).tobytes()

    assert decode_ipv4(data) == [("eth0", "10.0.0.1"), ("eth0", "10.0.0.2")]


def test_only_global_addresses_in_use_count() -> None:
    text = (
        "20010db8000000000000000000000001 02 40 00 80     eth0\n"
        "20010db8000000000000000000000002 02 40 00 c0     eth0\n"
        "fe800000000000000000000000000001 02 40 20 80     eth0\n"
    )

    assert decode_ipv6(text) == [("eth0", "2001:db8::1")]


@pytest.mark.netns
def test_the_address_beside_is_on_the_same_interface(network: Network) -> None:
    network.router(1)
    network.router(2)
    network.lb.ip("address", "add", "10.9.2.7/32", "dev", "r2")
    asked = ["10.9.1.1", "10.9.2.7", "fd09:1::1", "192.0.2.1"]
    folder = str(RELAY.parents[1])
    command = [sys.executable, "-I", "-S", "-c", ASK, folder, *asked]

    with network.lb.running(*command, stdout=subprocess.PIPE) as process:
        answer = json.loads(process.communicate(timeout=10)[0])

    assert answer == ["fd09:1::1", "fd09:2::1", "10.9.1.1", None]
