"""Probes on real links: the way a mark chooses, and packets of full size."""

import asyncio
import contextlib
import http.server
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from headrace.health import ProbeWay
from headrace.health.exchange import open_socket
from headrace.health.probe_tcp import TCP
from headrace.model import Belief, Health, Probe, ProbeKind, ProbePath, ProbeTarget
from tests.health.support import FAST, Paths, direct, first_belief, like
from tests.underlay.network import Namespace, connect, namespaces

pytestmark = pytest.mark.netns

WAY = ProbeWay(0x48520001)
VIP = {4: "203.0.113.1", 6: "2001:db8:ffff::1"}
ENDPOINT = {4: "10.0.0.2", 6: "2001:db8::2"}
PORT = 8080
NARROW_BYTES = 1400
CERTIFICATES = Path(__file__).parent / "certificates"


@pytest.fixture
def hosts() -> Iterator[tuple[Namespace, Namespace]]:
    """A node whose marked packets find two VIPs at an endpoint; others do not find them."""
    with namespaces("node", "endpoint") as (node, endpoint):
        connect(node, "p0", endpoint, "p0")
        node.ip("link set p0 gso_max_segs 1")  # a veth carries what is not cut yet at any size
        for version, net in ((4, "10.0.0.{}/24"), (6, "2001:db8::{}/64")):
            node.ip(f"addr add {net.format(1)} dev p0")
            endpoint.ip(f"addr add {net.format(2)} dev p0")
            endpoint.ip(f"addr add {VIP[version]} dev lo")
            node.ip(f"-{version} rule add fwmark 0x48520000/0xffff0000 lookup 77")
            node.ip(f"-{version} route add {VIP[version]} via {ENDPOINT[version]} table 77")
        yield node, endpoint


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every GET with 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in its base
        """Say nothing."""


class Server(socketserver.ThreadingTCPServer):
    """HTTP, or HTTPS, on any address of one family."""

    daemon_threads = True
    request_queue_size = 128
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as encrypted:
            super().finish_request(encrypted, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Probes reset their connections: nothing to tell."""


class Server6(Server):
    address_family = socket.AF_INET6


@contextlib.contextmanager
def serving(endpoint: Namespace, version: int, kind: ProbeKind = ProbeKind.HTTP) -> Iterator[None]:
    """A server on the endpoint; to probes of other kinds an accepted connection is enough."""
    make = Server if version == 4 else Server6
    server = endpoint.inside(lambda: make(("", PORT), Handler))
    if kind is ProbeKind.HTTPS:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(CERTIFICATES / "server.pem")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def probed(node: Namespace, target: ProbeTarget, way: ProbeWay = WAY) -> Belief:
    """What a checker on the node believes of a target first."""
    return node.inside(lambda: asyncio.run(first_belief(target, Paths(way))))


def target(version: int, probe: Probe) -> ProbeTarget:
    made = direct(PORT, probe, ENDPOINT[version])
    return replace(made, vip=ip_address(VIP[version]))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", [ProbeKind.TCP, ProbeKind.PING])
def test_a_tunnel_probe_goes_to_the_vip_by_the_way_of_its_mark(
    hosts: tuple[Namespace, Namespace], kind: ProbeKind, version: int
) -> None:
    node, endpoint = hosts
    probe = like(FAST, kind=kind, path=ProbePath.TUNNEL)
    with serving(endpoint, version):
        assert probed(node, target(version, probe)).health is Health.UP

        lost = probed(node, target(version, probe), ProbeWay(0x1))
        assert lost.health is Health.DOWN
        assert lost.reason.startswith("no path: network unreachable")


def test_a_tunnel_probe_notices_that_the_vip_is_not_on_the_endpoint(
    hosts: tuple[Namespace, Namespace],
) -> None:
    node, endpoint = hosts
    endpoint.ip(f"addr del {VIP[4]}/32 dev lo")
    with serving(endpoint, 4):
        belief = probed(node, target(4, like(FAST, path=ProbePath.TUNNEL)))

    assert belief.health is Health.DOWN


def narrow(endpoint: Namespace) -> None:
    """Lose what comes to the endpoint above NARROW_BYTES, though it asks for more."""
    endpoint.ip(f"link set p0 mtu {NARROW_BYTES}")
    endpoint.ip("route add 10.0.0.1 dev p0 advmss 1460")
    endpoint.ip("-6 route add 2001:db8::1 dev p0 advmss 1440")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("path", ProbePath)
@pytest.mark.parametrize("kind", [ProbeKind.TCP, ProbeKind.HTTP, ProbeKind.HTTPS, ProbeKind.PING])
def test_only_a_full_size_probe_notices_a_path_that_is_too_narrow(
    hosts: tuple[Namespace, Namespace], kind: ProbeKind, path: ProbePath, version: int
) -> None:
    node, endpoint = hosts
    small = like(FAST, kind=kind, path=path, timeout_s=0.5)
    large = like(small, full_size=True)
    with serving(endpoint, version, kind):
        wide = probed(node, target(version, large))
        narrow(endpoint)
        passed = probed(node, target(version, small))
        failed = probed(node, target(version, large))

    assert [wide.health, passed.health, failed.health] == [Health.UP, Health.UP, Health.DOWN]
    assert failed.reason == "path MTU too small: a packet of 1500 bytes did not arrive"


@pytest.mark.parametrize(
    ("version", "room_bytes", "size_bytes"),
    [
        pytest.param(4, NARROW_BYTES, NARROW_BYTES - 40, id="IPv4"),
        pytest.param(6, NARROW_BYTES, NARROW_BYTES - 60, id="IPv6"),
        pytest.param(4, 65_535, 32_767, id="no more than the kernel takes"),
    ],
)
def test_the_segments_of_a_probe_fit_its_way(
    version: int, room_bytes: int, size_bytes: int
) -> None:
    way = replace(WAY, room_bytes=room_bytes)

    with open_socket(TCP, target(version, FAST), way) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) == size_bytes
