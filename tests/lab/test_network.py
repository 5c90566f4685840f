"""Packets of a lab are whole packets, and routes can be read back."""

import ctypes
import fcntl
import socket
import struct
import subprocess
from functools import partial
from ipaddress import IPv4Network

import pytest

from headrace.lab.namespaces import run_in_namespace
from headrace.lab.network import (
    WIRE,
    add_addresses,
    has_xdp,
    is_up,
    read_next_hops,
    set_links,
    set_sysctls,
)
from headrace.lab.topologies import DEMO
from headrace.model.errors import KernelError, UnavailableError
from tests.lab.conftest import MakeLab
from tests.lab.lines import CLIENT, SERVER, line_topology

pytestmark = pytest.mark.netns

SIOCETHTOOL = 0x8946
ETHTOOL_GTXCSUM, ETHTOOL_GGSO, ETHTOOL_GGRO = 0x16, 0x23, 0x2B


def read_offload(device: str, command: int) -> bool:
    value = ctypes.create_string_buffer(struct.pack("=II", command, 0))
    request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCETHTOOL, request)
    return bool(struct.unpack("=II", value.raw[:8])[1])


@pytest.mark.parametrize(
    ("node", "device", "gro"),
    [
        pytest.param("user", "euserr1", False, id="a client"),
        pytest.param("r1", "er1user", False, id="a router towards the client"),
        pytest.param("r1", "er1llb1", True, id="a router where a balancer redirects to"),
        pytest.param(WIRE, "wllb1ep1", True, id="the wire where a balancer redirects to"),
        pytest.param(WIRE, "wep1llb1", False, id="the wire towards an endpoint"),
    ],
)
def test_nothing_is_left_to_hardware_that_is_not_there(
    make_lab: MakeLab, node: str, device: str, *, gro: bool
) -> None:
    namespace = make_lab(DEMO).namespace(node)

    offloads = [
        run_in_namespace(namespace, partial(read_offload, device, command))
        for command in (ETHTOOL_GTXCSUM, ETHTOOL_GGSO, ETHTOOL_GGRO)
    ]

    assert offloads == [False, False, gro]


@pytest.mark.parametrize("tapped", [False, True])
def test_a_packet_of_full_size_crosses_the_cable(make_lab: MakeLab, *, tapped: bool) -> None:
    lab = make_lab(line_topology(tapped=tapped))

    def listen() -> socket.socket:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("20.20.20.1", 9))
        receiver.settimeout(5)
        return receiver

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: never fragment
            sender.sendto(b"x" * 1972, ("20.20.20.1", 9))

    with run_in_namespace(lab.namespace(SERVER), listen) as receiver:
        run_in_namespace(lab.namespace(CLIENT), send)

        assert len(receiver.recv(4000)) == 1972


def test_the_next_hops_of_a_route_are_read_from_the_kernel(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    hops = ["nexthop", "via", "20.20.20.7", "nexthop", "via", "20.20.20.8"]
    command = ["ip", "route", "add", "9.9.9.9/32", *hops]
    subprocess.run(lab.command(CLIENT, command), check=True)
    namespace = lab.namespace(CLIENT)

    assert read_next_hops(namespace, IPv4Network("9.9.9.9/32")) == ["20.20.20.7", "20.20.20.8"]
    assert read_next_hops(namespace, IPv4Network("9.9.9.8/32")) == []


def test_a_device_without_a_program_is_seen_to_have_none(make_lab: MakeLab) -> None:
    assert not has_xdp(make_lab(line_topology()).namespace(CLIENT), "euserep1")


def test_a_device_is_seen_to_be_up_or_down(make_lab: MakeLab) -> None:
    namespace = make_lab(line_topology()).namespace(CLIENT)

    before = is_up(namespace, "euserep1")
    set_links(namespace, ["euserep1"], up=False)

    assert (before, is_up(namespace, "euserep1")) == (True, False)


def test_what_the_kernel_refuses_is_named(make_lab: MakeLab) -> None:
    namespace = make_lab(line_topology()).namespace(CLIENT)

    with pytest.raises(KernelError, match="find device nosuch: No such device"):
        add_addresses(namespace, "nosuch", ["10.0.0.1/8"])
    with pytest.raises(KernelError, match=r"set net\.ipv4\.nosuch=1"):
        set_sysctls(namespace, [("net.ipv4.nosuch", "1")])
    with pytest.raises(UnavailableError, match="no network namespace hr-nosuch"):
        has_xdp("hr-nosuch", "lo")
