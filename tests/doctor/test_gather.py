"""Facts about a host in a network namespace: as the kernel has them, and nothing is changed."""

import fcntl
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from headrace.dataplane import Dataplane, detach_all
from headrace.doctor import Facts, gather
from headrace.doctor.facts import Device, OwnAddress
from headrace.doctor.xdp_features import XdpFeature
from headrace.model import Document, Port, Target, Tuning, Unresolved
from headrace.underlay.outer import Outer
from headrace.underlay.snapshot import Route
from tests.operate.faults import small_disk
from tests.underlay.network import Namespace, connect, namespaces

from .values import VIP, VIP6, WEB, document

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

MTU = 1600
TUNNEL = {"endpoint": "56.56.56.1", "local": "10.0.0.1", "remote": "10.0.0.2"}


@pytest.fixture
def host() -> Iterator[Namespace]:
    """A host with 10.0.0.1/24 on p0, whose other end is in another namespace, and a VIP on lo."""
    with namespaces("lb", "peer") as (lb, peer):
        connect(lb, "p0", peer, "p0")
        lb.ip(f"link set p0 mtu {MTU}")
        lb.ip("addr add 10.0.0.1/24 dev p0")
        lb.ip("route add default via 10.0.0.254")
        yield lb


def facts_of(host: Namespace, root: Path, asked: Document | None = None) -> Facts:
    return host.inside(lambda: gather(asked, root))


def p0(facts: Facts) -> Device:
    return next(device for device in facts.devices if device.link.name == "p0")


@pytest.fixture
def plane(host: Namespace, tmp_path: Path) -> Iterator[Dataplane]:
    """A data plane of an instance `main`, attached to p0."""
    pins = tmp_path / "main/bpf"
    try:
        plane = Dataplane(pins)
        port = Port("p0", host.index("p0"), (host.mac("p0"),))
        host.inside(lambda: plane.attach([port]))
        yield plane
        plane.close()
    finally:
        detach_all(pins)


def test_a_kernel_that_runs_these_tests_is_well(host: Namespace, tmp_path: Path) -> None:
    kernel = facts_of(host, tmp_path).kernel

    assert kernel.release == platform.release()
    assert kernel.version >= (5, 18)
    assert (kernel.has_bpf_fs, kernel.refusal) == (True, "")


def test_a_device_is_as_the_kernel_shows_it(host: Namespace, tmp_path: Path) -> None:
    host.sysctl("net.ipv4.conf.p0.rp_filter=1")

    device = p0(facts_of(host, tmp_path))

    assert (device.link.mtu_bytes, device.link.kind, device.driver) == (MTU, "veth", "veth")
    assert (device.xdp, device.rp_filter) == ("", 1)
    assert device.xdp_features is None or device.xdp_features & XdpFeature.BASIC


def test_the_stricter_filter_of_a_device_and_all_is_in_force(
    host: Namespace, tmp_path: Path
) -> None:
    host.sysctl("net.ipv4.conf.all.rp_filter=2")
    host.sysctl("net.ipv4.conf.p0.rp_filter=1")

    assert p0(facts_of(host, tmp_path)).rp_filter == 2


def test_offloads_are_those_that_ethtool_shows(host: Namespace, tmp_path: Path) -> None:
    enter = ["ip", "netns", "exec", host.name, "ethtool"]
    subprocess.run([*enter, "-K", "p0", "rxvlan", "off"], check=True)
    off = p0(facts_of(host, tmp_path)).offloads
    subprocess.run([*enter, "-K", "p0", "rxvlan", "on"], check=True)
    on = p0(facts_of(host, tmp_path)).offloads

    assert (off.vlan, on.vlan) == (False, True)
    assert (on.lro, on.gro_hw) == (False, False)


def test_addresses_are_told_with_their_device(host: Namespace, tmp_path: Path) -> None:
    host.ip("addr add 20.20.20.1/32 dev lo")

    facts = facts_of(host, tmp_path, document())

    assert OwnAddress(ip_address("10.0.0.1"), 24, "p0") in facts.addresses
    assert OwnAddress(ip_address("20.20.20.1"), 32, "lo") in facts.addresses
    assert facts.local_vips == {VIP}


def test_a_local_route_makes_a_vip_the_hosts_own(host: Namespace, tmp_path: Path) -> None:
    host.ip("-6 route add local fd20::/64 dev lo")
    asked = document(WEB, WEB | {"vip": "fd20::1", "port": 81})

    assert facts_of(host, tmp_path, asked).local_vips == {VIP6}


def test_the_ways_are_those_that_the_routes_say(host: Namespace, tmp_path: Path) -> None:
    endpoints = [{"address": "56.56.56.1"}, {"address": "fd99::1"}]
    asked = document(WEB | {"endpoints": endpoints}, node={"tunnels": [TUNNEL]})

    facts = facts_of(host, tmp_path, asked)

    assert facts.ways is not None
    assert facts.vip_routes is not None
    way, none = (facts.ways[Target(ip_address(each["address"]))] for each in endpoints)
    assert isinstance(way, Outer)
    assert isinstance(none, Unresolved)
    assert (way.destination, way.legs[0].ifindex) == (ip_address("10.0.0.2"), host.index("p0"))
    route = facts.vip_routes[ip_network("20.20.20.1/32")]
    assert isinstance(route, Route)
    assert route.legs[0].gateway == ip_address("10.0.0.254")


@pytest.mark.parametrize("number", [0, 1])
def test_forwarding_is_the_namespaces_own(host: Namespace, tmp_path: Path, number: int) -> None:
    host.sysctl(f"net.ipv4.ip_forward={number}")
    host.sysctl(f"net.ipv6.conf.all.forwarding={1 - number}")

    assert facts_of(host, tmp_path).forwards == {4: number == 1, 6: number == 0}


@pytest.mark.usefixtures("plane")
def test_an_instance_without_a_daemon_is_seen_by_its_pins(host: Namespace, tmp_path: Path) -> None:
    facts = facts_of(host, tmp_path)

    (instance,) = facts.instances
    assert (instance.name, instance.runs, instance.is_captured) == ("main", False, False)
    assert (instance.pins.is_mounted, instance.pins.links) == (True, {"p0": host.index("p0")})
    assert p0(facts).xdp == "native"


@pytest.mark.usefixtures("plane")
def test_a_daemon_and_a_capture_are_known_by_their_locks(host: Namespace, tmp_path: Path) -> None:
    with ExitStack() as stack:
        for name in ("lock", "capture.lock"):
            file = stack.enter_context((tmp_path / "main" / name).open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        (held,) = facts_of(host, tmp_path).instances
    (free,) = facts_of(host, tmp_path).instances

    assert (held.runs, held.is_captured) == (True, True)
    assert (free.runs, free.is_captured) == (False, False)


def test_a_lock_of_the_same_number_on_another_disk_is_of_something_else(
    host: Namespace, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        main, other = (stack.enter_context(small_disk(tmp_path / name)) for name in ("main", "x"))
        for name in ("lock", "capture.lock"):
            (main / name).touch()
            fcntl.flock(stack.enter_context((other / name).open("w")), fcntl.LOCK_EX)
        inodes = {(disk / "lock").stat().st_ino for disk in (main, other)}
        instance, held = facts_of(host, tmp_path).instances

    assert len(inodes) == 1
    assert (instance.runs, instance.is_captured) == (False, False)
    assert (held.runs, held.is_captured) == (True, True)


def test_sampling_that_was_left_on_is_seen(
    host: Namespace, plane: Dataplane, tmp_path: Path
) -> None:
    plane.set_tuning(Tuning(sample_one_in=7))

    assert facts_of(host, tmp_path).instances[0].sample_one_in == 7


def test_a_link_whose_device_is_gone_and_what_is_half_made_are_seen(
    host: Namespace, plane: Dataplane, tmp_path: Path
) -> None:
    (tmp_path / "main/bpf/maps/notes").rename(tmp_path / "main/bpf/maps/notes-new")
    host.ip("link del p0")

    (instance,) = facts_of(host, tmp_path).instances

    assert plane.modes() == {"p0": "missing"}
    assert (instance.pins.links, instance.pins.leftovers) == ({"p0": 0}, ("maps/notes-new",))


def test_a_folder_without_pins_is_an_instance_that_left_none(
    host: Namespace, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()

    (instance,) = facts_of(host, tmp_path).instances

    assert (instance.name, instance.runs, instance.pins.is_mounted) == ("old", False, False)


def test_generic_mode_is_told_apart(host: Namespace, tmp_path: Path) -> None:
    pins = tmp_path / "elsewhere"
    try:
        plane = Dataplane(pins)
        program = pins / "programs/headrace"
        command = ["ip", "link", "set", "dev", "p0", "xdpgeneric", "pinned", str(program)]
        subprocess.run(["nsenter", f"--net=/run/netns/{host.name}", *command], check=True)

        assert p0(facts_of(host, tmp_path / "none")).xdp == "generic"
        plane.close()
    finally:
        host.ip("link set dev p0 xdpgeneric off")
        detach_all(pins)


def test_gathering_changes_nothing(host: Namespace, plane: Dataplane, tmp_path: Path) -> None:
    def state() -> list[str]:
        tables = ("link", "addr", "neigh", "route", "rule")
        shown = [
            subprocess.run(
                ["ip", "-n", host.name, table], capture_output=True, text=True, check=True
            ).stdout
            for table in tables
        ]
        return [*shown, *sorted(map(str, tmp_path.rglob("*"))), repr(plane.read())]

    before = state()
    facts_of(host, tmp_path, document(node={"tunnels": [TUNNEL]}))

    assert state() == before


def test_bird_is_found_where_it_is_on_the_path(
    host: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bird"
    program.write_text("#!/bin/sh\necho BIRD version 2.9.9 >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    programs = facts_of(host, tmp_path / "none").programs

    assert programs.bird == "2.9.9"
    assert programs.exabgp is not None
    assert programs.exabgp.startswith("5.")
