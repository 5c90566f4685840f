"""The agent on an endpoint of its own: TCP to a VIP on lo, by every encapsulation it unwraps.

The client hands its packets for the VIP to a TUN device, and a thread that plays the load balancer
sends each in an outer header, which the kernel writes. The answers come back without one.
"""

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.underlay.network import Namespace, connect, namespaces

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

PORT, GUE_PORT = 8080, 6090
VIPS = {4: "20.20.20.1", 6: "2001:db8:20::1"}
CLIENTS = {4: "1.1.1.1", 6: "2001:db8:c::1"}
BALANCER = {4: "10.0.0.1", 6: "2001:db8::1"}
ENDPOINT = {4: "10.0.0.2", 6: "2001:db8::2"}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
PROTOCOLS = {4: socket.IPPROTO_IPIP, 6: socket.IPPROTO_IPV6}
WAIT_S = 10.0

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 1, 0x1000
_LONGEST = 65_536


class Network:
    """A client that is its own load balancer, an endpoint with the VIPs on lo, a link between."""

    def __init__(self, client: Namespace, endpoint: Namespace) -> None:
        self.client, self.endpoint = client, endpoint
        connect(client, "c0", endpoint, "e0")
        self.tun = client.inside(_make_tun)
        client.ip("link set tun0 up mtu 1400")
        for family, length, subnet, ready in ((4, 32, 24, ""), (6, 128, 64, "nodad")):
            client.ip(f"addr add {BALANCER[family]}/{subnet} dev c0 {ready}")
            endpoint.ip(f"addr add {ENDPOINT[family]}/{subnet} dev e0 {ready}")
            client.ip(f"addr add {CLIENTS[family]}/{length} dev tun0 {ready}")
            client.ip(f"route add {VIPS[family]} dev tun0 src {CLIENTS[family]}")
            endpoint.ip(f"addr add {VIPS[family]}/{length} dev lo {ready}")
            endpoint.ip(f"route add {CLIENTS[family]} via {BALANCER[family]}")

    def socket(self, where: Namespace, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket in a namespace."""
        return where.inside(lambda: socket.socket(FAMILIES[family], kind, protocol))

    @contextmanager
    def balancing(self, inner: int, outer: int, kind: str) -> Iterator[None]:
        """While this lasts, what the client sends to the VIPs is encapsulated and sent on."""
        writers = {"ipip": (socket.SOCK_RAW, PROTOCOLS[inner], 0)}
        writers["gue"] = (socket.SOCK_DGRAM, 0, GUE_PORT)
        socket_kind, protocol, port = writers[kind]
        near, far = socket.socketpair()
        with near, far, self.socket(self.client, outer, socket_kind, protocol) as outside:
            outside.bind((BALANCER[outer], 0))
            outside.connect((ENDPOINT[outer], port))
            thread = threading.Thread(
                target=_carry, args=(self.tun, far.fileno(), inner, outside.send)
            )
            thread.start()
            try:
                yield
            finally:
                near.send(b"stop")
                thread.join()


def _make_tun() -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"tun0", _IFF_TUN | _IFF_NO_PI))
    return tun


def _carry(tun: int, stop: int, family: int, send: Callable[[bytes], int]) -> None:
    """Send on what comes out of the device, if it is of the family, until told to stop."""
    while stop not in (ready := select.select([tun, stop], [], [])[0]):
        packet = os.read(tun, _LONGEST)
        if ready and packet[0] >> 4 == family:
            send(packet)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with namespaces("client", "endpoint") as (client, endpoint), ExitStack() as cleanup:
        made = Network(client, endpoint)
        cleanup.callback(os.close, made.tun)
        yield made


def tailrace(network: Network, *arguments: str) -> list[str]:
    """The command that runs tailrace on the endpoint."""
    program = [sys.executable, "-c", "from headrace.cli.tailrace import main; main()"]
    return ["nsenter", f"--net=/run/netns/{network.endpoint.name}", *program, *arguments]


@pytest.fixture(scope="module")
def instance(network: Network) -> Iterator[None]:
    """An agent that was started, attached, and stopped again: its program runs on."""
    name = f"test-{os.getpid()}"
    arguments = ["--instance", name, "--interface", "e0", "--gue-port", str(GUE_PORT)]
    for vip in VIPS.values():
        arguments += ["--vip", vip]
    for source in ("10.0.0.0/30", BALANCER[6]):
        arguments += ["--from", source]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    command = tailrace(network, "run", *arguments)
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as agent:
            assert agent.stdout is not None
            log = next((line for line in agent.stdout if "started" in line), "")
            agent.terminate()
        assert "e0" in log
        assert agent.returncode == 0
        yield
    finally:
        subprocess.run(tailrace(network, "detach", "--instance", name), check=True)
        assert not Path("/run/tailrace", name).exists()


@pytest.mark.usefixtures("instance")
@pytest.mark.parametrize("kind", ["ipip", "gue"])
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("inner", [4, 6])
def test_a_vip_on_lo_answers_tcp_that_comes_in_a_tunnel(
    network: Network, inner: int, outer: int, kind: str
) -> None:
    listener = network.socket(network.endpoint, inner, socket.SOCK_STREAM)
    client = network.socket(network.client, inner, socket.SOCK_STREAM)
    with listener, client, network.balancing(inner, outer, kind):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((VIPS[inner], PORT))
        listener.listen()
        for end in (listener, client):
            end.settimeout(WAIT_S)
        client.connect((VIPS[inner], PORT))
        client.sendall(b"hello")
        served, peer = listener.accept()
        with closing(served):
            served.settimeout(WAIT_S)
            served.sendall(served.recv(5).upper())
            assert (client.recv(5), peer[0]) == (b"HELLO", CLIENTS[inner])
