"""Routes and rules of probes, hindrances and ICMP errors, in namespaces."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from headrace.dataplane import ProbeTunnel
from headrace.model import Encapsulation, IPAddress, KernelError
from headrace.underlay import (
    PROBE_MARK,
    IcmpError,
    IcmpKind,
    ProbeHindrances,
    ProbeRoute,
    ProbeRoutes,
    ReversePathFilter,
    icmp_errors,
    remove_probe_routes,
)
from headrace.underlay.icmp_errors import FRESH_S, IcmpErrors, decode_error_v4, decode_error_v6
from tests.underlay.network import Namespace

VIP4, VIP6, OTHER = map(ip_address, ("20.20.20.1", "fd20::1", "20.20.20.2"))
OWN4, OWN6 = map(ip_address, ("10.0.0.1", "fd00::1"))
ENDPOINT = ip_address("10.0.0.2")
PROGRAM_SOURCE = """
import sys, time
from tests.underlay.test_probe_routes import VIP4, VIP6, OWN4, OWN6, route
from headrace.dataplane import ProbeTunnel
from headrace.underlay import ProbeRoutes
tunnel = ProbeTunnel()
ProbeRoutes("killed").ensure([route(VIP4, OWN4, tunnel.fd), route(VIP6, OWN6, tunnel.fd)])
print("there", flush=True)
time.sleep(60)
"""


@pytest.fixture
def node(lb: Namespace) -> Namespace:
    lb.ip(f"addr add {OWN6}/64 dev p0")
    return lb


@pytest.fixture
def program() -> Iterator[int]:
    with closing(ProbeTunnel()) as tunnel:
        yield tunnel.fd


def route(vip: object, source: object, program_fd: int, mtu_bytes: int = 1480) -> ProbeRoute:
    return ProbeRoute(ip_address(str(vip)), ip_address(str(source)), mtu_bytes, program_fd)


def shown(node: Namespace, what: str) -> list[str]:
    """What `ip` says, both families together."""
    lines: list[str] = []
    for family in ("-4", "-6"):
        command = ["ip", "-n", node.name, family, *what.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines += [" ".join(line.split()) for line in done.stdout.splitlines()]
    return lines


def routing(node: Namespace) -> list[str]:
    """All rules, and all routes of all tables."""
    return shown(node, "rule show") + shown(node, "route show table all")


def ours(node: Namespace) -> list[str]:
    """What of it a daemon has made for its probes."""
    words = ("lookup 77", "table 77", "bpf")
    return [line for line in routing(node) if any(word in line for word in words)]


@contextmanager
def routes_of(node: Namespace, owner: str = "killed") -> Iterator[ProbeRoutes]:
    routes = node.inside(lambda: ProbeRoutes(owner))
    try:
        yield routes
    finally:
        routes.close()


@pytest.mark.netns
def test_marked_packets_look_into_a_table_that_leads_through_the_program(
    node: Namespace, program: int
) -> None:
    with routes_of(node, "/run/headrace") as routes:
        routes.ensure([route(VIP4, OWN4, program), route(VIP6, OWN6, program, 1300)])

        program_run = "encap bpf xmit headrace_probe /run/headrace dev lo proto 72"
        assert shown(node, "route show table 77") == [
            f"20.20.20.1 {program_run} scope link src 10.0.0.1 mtu 1480",
            f"local fd20::1 {program_run} src fd00::1 metric 1024 mtu 1300 pref medium",
        ]
        rules = [rule for rule in shown(node, "rule show") if "lookup 77" in rule]
        assert rules == ["77: from all fwmark 0x48520000/0xffff0000 lookup 77 proto 72"] * 2


@pytest.mark.netns
def test_other_packets_never_see_it(node: Namespace, program: int) -> None:
    def reaches(mark: int) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            try:
                sender.connect((str(VIP4), 9))
            except OSError:
                return False
            return bool(sender.getsockname()[0] == str(OWN4))

    with routes_of(node) as routes:
        routes.ensure([route(VIP4, OWN4, program)])

        marks = (0, 1, PROBE_MARK | 1, PROBE_MARK | 0xFFFF, 0x48530001)
        assert [node.inside(lambda m=mark: reaches(m)) for mark in marks] == [  # type: ignore[misc]
            *(False, False, True, True, False)
        ]


@pytest.mark.netns
def test_close_leaves_the_routing_as_it_was(node: Namespace, program: int) -> None:
    node.ip("route add 30.30.30.0/24 via 10.0.0.2 table 77")  # somebody else's
    node.ip("rule add fwmark 7 lookup 77")
    before = routing(node)

    with routes_of(node) as routes:
        routes.ensure([route(VIP4, OWN4, program), route(VIP6, OWN6, program)])
        assert routing(node) != before

    assert routing(node) == before


@pytest.mark.netns
def test_ensure_leaves_exactly_what_is_wanted(node: Namespace, program: int) -> None:
    with routes_of(node) as routes:
        routes.ensure([route(VIP4, OWN4, program), route(OTHER, OWN4, program)])
        routes.ensure([route(OTHER, "10.0.1.1", program, 1400)])

        (left,) = shown(node, "route show table 77")
        assert left.startswith("20.20.20.2 ")
        assert "src 10.0.1.1 mtu 1400" in left


@pytest.mark.netns
def test_a_link_that_flaps_takes_no_route_away(node: Namespace, program: int) -> None:
    with routes_of(node) as routes:
        routes.ensure([route(VIP4, OWN4, program), route(VIP6, OWN6, program)])
        before = shown(node, "route show table 77")

        node.ip("link set p0 down")
        node.ip("link set p0 up")

        assert shown(node, "route show table 77") == before


@pytest.mark.netns
def test_a_source_that_is_not_ours_is_refused_by_name(node: Namespace, program: int) -> None:
    with routes_of(node) as routes, pytest.raises(KernelError, match=r"route probes of 20.20.20.1"):
        routes.ensure([route(VIP4, "9.9.9.9", program)])


@pytest.fixture
def killed(node: Namespace) -> Namespace:
    """A node whose daemon was killed."""
    command = ["ip", "netns", "exec", node.name, sys.executable, "-c", PROGRAM_SOURCE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path.cwd()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGKILL)
    assert len(shown(node, "route show table 77")) == 2
    return node


@pytest.mark.netns
def test_what_a_killed_daemon_left_is_taken_over(killed: Namespace, program: int) -> None:
    with routes_of(killed) as routes:
        routes.ensure([route(VIP4, OWN4, program, 1234)])

        (left,) = shown(killed, "route show table 77")
        assert "mtu 1234" in left
        assert sum("lookup 77" in rule for rule in shown(killed, "rule show")) == 2

    assert ours(killed) == []


@pytest.mark.netns
def test_what_a_killed_daemon_left_can_be_removed(killed: Namespace) -> None:
    killed.inside(lambda: remove_probe_routes("killed"))

    assert ours(killed) == []


@pytest.mark.netns
def test_each_instance_removes_its_own_routes_only(killed: Namespace, program: int) -> None:
    with routes_of(killed, "/run/other") as routes:
        routes.ensure([route(OTHER, OWN4, program)])

        killed.inside(lambda: remove_probe_routes("killed"))

        (left,) = shown(killed, "route show table 77")
        assert left.startswith("20.20.20.2 encap bpf xmit headrace_probe /run/other")
        assert [line for line in shown(killed, "rule show") if "lookup 77" in line] == [
            "77: from all fwmark 0x48520000/0xffff0000 lookup 77 proto 72"
        ]

    assert ours(killed) == []


@pytest.mark.netns
def test_a_vip_that_another_instance_probes_is_refused_by_that_ones_name(
    node: Namespace, program: int
) -> None:
    with routes_of(node, "/run/first") as first, routes_of(node, "/run/second") as second:
        first.ensure([route(VIP4, OWN4, program), route(VIP6, OWN6, program)])
        for vip, own in ((VIP4, OWN4), (VIP6, OWN6)):
            with pytest.raises(KernelError, match=f"route probes of {vip}: .*\n.*of /run/first;"):
                second.ensure([route(vip, own, program)])
        first.ensure([])

        second.ensure([route(VIP4, OWN4, program)])

        (left,) = shown(node, "route show table 77")
        assert "headrace_probe /run/second" in left


# --- hindrances ------------------------------------------------------------------------------


@contextmanager
def hindrances_of(node: Namespace) -> Iterator[ProbeHindrances]:
    with closing(node.inside(ProbeHindrances)) as hindrances:
        yield hindrances


@pytest.mark.netns
@pytest.mark.parametrize(
    ("commands", "vip", "towards", "source"),
    [
        pytest.param([], "20.20.20.1", "10.0.1.2", "10.0.1.1", id="that towards the endpoints"),
        pytest.param(
            ["route add 20.20.20.1 via 10.0.1.2"],
            "20.20.20.1",
            "fd00::2",
            "10.0.1.1",
            id="the VIP's",
        ),
        pytest.param([], "fd20::1", "10.0.0.2", "fd00::1", id="any of the family"),
        pytest.param(
            ["addr add 20.20.20.1/32 dev lo"], "20.20.20.1", None, "10.0.0.1", id="never the VIP"
        ),
        pytest.param(["addr del fd00::1/64 dev p0"], "fd20::1", None, None, id="none"),
    ],
)
def test_probes_come_from(
    node: Namespace, commands: list[str], vip: str, towards: str | None, source: str | None
) -> None:
    for command in commands:
        node.ip(command)

    with hindrances_of(node) as hindrances:
        found = node.inside(
            lambda: hindrances.source_for(
                [ip_address(vip)], ip_address(towards) if towards else None
            )
        )

    assert found == (ip_address(source) if source else None)


@pytest.mark.netns
@pytest.mark.parametrize("vip", ["20.20.20.1", "fd20::1"])
def test_a_vip_that_is_an_address_of_this_node_is_seen(node: Namespace, vip: str) -> None:
    with hindrances_of(node) as hindrances:
        before = hindrances.is_local(ip_address(vip))
        node.ip(f"addr add {vip} dev lo")
        after = hindrances.is_local(ip_address(vip))

    assert (before, after) == (False, True)


@pytest.mark.netns
@pytest.mark.parametrize(
    ("mode", "vip_route", "dropper"),
    [
        pytest.param(1, "20.20.20.1 via 10.0.1.2", ReversePathFilter("p0", 1), id="strict"),
        pytest.param(2, "20.20.20.1 via 10.0.1.2", None, id="loose and routed elsewhere"),
        pytest.param(2, "9.9.9.9 via 10.0.1.2", ReversePathFilter("p0", 2), id="loose, no route"),
        pytest.param(1, "20.20.20.1 via 10.0.0.2", None, id="strict and routed there"),
        pytest.param(0, "20.20.20.1 via 10.0.1.2", None, id="off"),
    ],
)
def test_the_filter_that_drops_answers_is_named(
    wires: tuple[Namespace, Namespace], mode: int, vip_route: str, dropper: ReversePathFilter | None
) -> None:
    node, peer = wires
    node.sysctl(f"net.ipv4.conf.p0.rp_filter={mode}")
    node.ip(f"route add {vip_route}")
    peer.ip(f"addr add {VIP4}/32 dev lo")
    receiver = node.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with hindrances_of(node) as hindrances, receiver:
        receiver.bind((str(OWN4), 0))
        early = node.inside(lambda: hindrances.reverse_path_filter(VIP4, ENDPOINT))

        peer.inside(lambda: send_from(VIP4, receiver))
        peer.inside(lambda: send_from(ENDPOINT, receiver))
        receiver.settimeout(2)
        while receiver.recvfrom(1)[1][0] != str(ENDPOINT):
            pass  # all has arrived, or was dropped, once the last one has

        assert early is None  # nothing was dropped so far
        found = node.inside(lambda: hindrances.reverse_path_filter(VIP4, ENDPOINT))
        assert found == dropper


def send_from(source: IPAddress, receiver: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((str(source), 0))
        sender.sendto(b"!", receiver.getsockname())


# --- ICMP errors -----------------------------------------------------------------------------

OUTER4 = bytes.fromhex("4500003c00004000") + b"\x40\x04\0\0" + OWN4.packed + ENDPOINT.packed
OUTER6 = b"\x60" + bytes(5) + b"\x29\x40" + OWN6.packed + ip_address("fd00::2").packed
HEADER4 = bytes.fromhex("4500003c000040004001 0000") + ip_address("10.0.0.9").packed + OWN4.packed
REPORTER6 = ip_address("fd00::9")


@pytest.mark.parametrize(
    ("start", "kind", "mtu_bytes"),
    [
        ("03 02 0000 00000000", IcmpKind.NO_TUNNEL, 0),
        ("03 03 0000 00000000", IcmpKind.NO_TUNNEL, 0),
        ("03 04 0000 0000 0514", IcmpKind.TOO_BIG, 1300),
        ("03 01 0000 00000000", IcmpKind.UNREACHABLE, 0),
        ("0b 00 0000 00000000", IcmpKind.LOOP, 0),
    ],
)
def test_errors_of_ipv4_are_understood(start: str, kind: IcmpKind, mtu_bytes: int) -> None:
    error = decode_error_v4(HEADER4 + bytes.fromhex(start) + OUTER4)

    reporter = ip_address("10.0.0.9")
    assert error == IcmpError(kind, reporter, ENDPOINT, Encapsulation.IPIP, mtu_bytes)


@pytest.mark.parametrize(
    ("start", "kind", "mtu_bytes"),
    [
        ("04 01 0000 00000028", IcmpKind.NO_TUNNEL, 0),
        ("01 04 0000 00000000", IcmpKind.NO_TUNNEL, 0),
        ("02 00 0000 00000514", IcmpKind.TOO_BIG, 1300),
        ("01 03 0000 00000000", IcmpKind.UNREACHABLE, 0),
        ("03 00 0000 00000000", IcmpKind.LOOP, 0),
    ],
)
def test_errors_of_ipv6_are_understood(start: str, kind: IcmpKind, mtu_bytes: int) -> None:
    error = decode_error_v6(bytes.fromhex(start) + OUTER6, REPORTER6)

    far = ip_address("fd00::2")
    assert error == IcmpError(kind, REPORTER6, far, Encapsulation.IPIP, mtu_bytes)


def test_gue_is_told_from_ipip() -> None:
    quoted = OUTER4[:9] + b"\x11" + OUTER4[10:]

    error = decode_error_v4(HEADER4 + bytes.fromhex("0303 0000 00000000") + quoted)

    assert error is not None
    assert error.encapsulation is Encapsulation.GUE


def test_what_is_about_no_tunnel_or_cut_short_is_passed_over() -> None:
    tcp = OUTER4[:9] + b"\x06" + OUTER4[10:]
    start = bytes.fromhex("0303 0000 00000000")

    assert decode_error_v4(HEADER4 + start + tcp) is None
    assert decode_error_v4(HEADER4 + bytes.fromhex("0800 0000 00000000") + OUTER4) is None
    assert [decode_error_v4(HEADER4 + (start + OUTER4)[:size]) for size in range(28)] == [None] * 28
    whole = bytes.fromhex("0401 0000 00000028") + OUTER6
    assert [decode_error_v6(whole[:size], REPORTER6) for size in range(48)] == [None] * 48


@pytest.mark.netns
def test_errors_are_heard_and_grow_stale(node: Namespace) -> None:
    late_s = 0.0
    with closing(node.inside(lambda: IcmpErrors(lambda: late_s + _clock()))) as errors:
        assert errors.about(OWN4, Encapsulation.IPIP) is None

        node.inside(lambda: send_to_a_tunnel_that_is_not_there(OWN4))

        error = errors.about(OWN4, Encapsulation.IPIP)
        assert error == IcmpError(IcmpKind.NO_TUNNEL, OWN4, OWN4, Encapsulation.IPIP)
        late_s = FRESH_S + 1
        assert errors.about(OWN4, Encapsulation.IPIP) is None


@pytest.mark.netns
def test_the_oldest_errors_are_forgotten(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icmp_errors, "LIMIT_ERRORS", 1)
    both = OWN4, ip_address("10.0.1.1")
    with closing(node.inside(IcmpErrors)) as errors:
        for address in both:
            node.inside(lambda to=address: send_to_a_tunnel_that_is_not_there(to))  # type: ignore[misc]

        known = [errors.about(address, Encapsulation.IPIP) is not None for address in both]
        assert known == [False, True]


def _clock() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)


def send_to_a_tunnel_that_is_not_there(address: IPAddress) -> None:
    to_itself = OUTER4[:12] + address.packed * 2 + OUTER4
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        sender.sendto(to_itself, (str(address), 0))
