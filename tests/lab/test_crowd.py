"""A crowd listens on many addresses, each of which can die alone; a sender keeps its rate."""

import socket
from ipaddress import IPv4Address
from time import monotonic

import pytest

from headrace.lab.laboratory import Laboratory
from headrace.lab.namespaces import run_in_namespace
from headrace.lab.network import add_addresses, read_tcp_counts
from headrace.lab.traffic import Crowd, start_sender
from headrace.lab.waiting import poll
from tests.lab.conftest import MakeLab
from tests.lab.lines import CLIENT, SERVER, VIP, line_topology

FIRST = IPv4Address("20.20.20.10")
COUNT = 3
OWN_PORT = 20_001


def reaches(lab: Laboratory, address: IPv4Address) -> str:
    """What comes of a connection: open, refused, or silent."""

    def act() -> str:
        try:
            socket.create_connection((str(address), lab.topology.port), timeout=0.3).close()
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "silent"
        return "open"

    return run_in_namespace(lab.namespace(CLIENT), act)


@pytest.mark.netns
async def test_each_address_of_a_crowd_dies_alone(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    addresses = [FIRST + index for index in range(COUNT)]
    add_addresses(lab.namespace(SERVER), "lo", [f"{address}/32" for address in addresses])
    crowd = await Crowd.start(lab, SERVER, FIRST, COUNT)
    try:
        before = [reaches(lab, address) for address in addresses]
        begun_s = monotonic()
        refused_s = await crowd.refuse(addresses[0])
        silent_s = await crowd.silence(addresses[1])
        after = [reaches(lab, address) for address in addresses]
    finally:
        await crowd.stop()

    assert before == ["open"] * COUNT
    assert after == ["refused", "silent", "open"]
    assert begun_s < refused_s < silent_s < monotonic()
    assert read_tcp_counts(lab.namespace(CLIENT)).sent >= 3 * COUNT


@pytest.mark.netns
async def test_a_sender_sends_in_turn_from_the_ports_that_it_is_told(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    receiver = run_in_namespace(
        lab.namespace(SERVER), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    )
    with receiver:
        receiver.bind((str(VIP), lab.topology.port))
        receiver.setblocking(False)  # noqa: FBT003 - socket's own
        start_sender(lab, CLIENT, packets_per_s=200, ports=[0, 0, 0, OWN_PORT])
        ports: list[int] = []

        async def probe() -> bool | None:
            try:
                ports.append(receiver.recvfrom(64)[1][1])
            except BlockingIOError:
                return None
            return True if len(ports) >= 40 else None

        heard = await poll(probe, timeout_s=10)

    assert heard
    assert OWN_PORT in ports
    assert {ports.count(port) for port in set(ports)} == {10}
