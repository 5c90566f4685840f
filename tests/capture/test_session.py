"""Captures from a data plane in the kernel, whose owner goes on as if nobody looked."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from headrace.capture import Seen, Taken, Wanted, open_session
from headrace.dataplane import Dataplane, detach_all, libbpf
from headrace.dataplane.pins import Pins, read_pinned_state
from headrace.model import (
    ConflictError,
    NotFoundError,
    Protocol,
    ServiceEntry,
    ServiceKey,
    Tuning,
    UnavailableError,
)
from tests.bgp.support import eventually
from tests.dataplane.rig import OWN_MAC, VIP, VIP_NO_PATH, VIP_SMALL_MTU, Rig

pytestmark = pytest.mark.bpf

EVERY = Wanted()
FLOOD = 4000
"""Packets: more than the ring holds samples."""


class Kept:
    """Keeps what a capture gives it."""

    def __init__(self) -> None:
        self.packets: list[Seen] = []

    def write(self, seen: Seen) -> None:
        self.packets.append(seen)

    def flush(self) -> None:
        pass

    @property
    def comments(self) -> list[str]:
        return [seen.comment for seen in self.packets]


class Broken(Kept):
    """Fails at the first packet."""

    def write(self, seen: Seen) -> None:
        raise BrokenPipeError


class Capturing:
    """A capture in a thread of its own."""

    def __init__(self, runtime_dir: Path, wanted: Wanted, sink: Kept) -> None:
        self.sink = sink
        self.taken: Taken | None = None
        self.error: BaseException | None = None
        self._reader, self._writer = os.pipe()
        self._thread = threading.Thread(target=self._run, args=(runtime_dir, wanted))
        self._thread.start()

    def end(self) -> None:
        os.write(self._writer, b"x")
        self.join()

    def join(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self, runtime_dir: Path, wanted: Wanted) -> None:
        try:
            with open_session(runtime_dir, runtime_dir / "bpf") as session:
                self.taken = session.take(wanted, self.sink, self._reader)
        except OSError as error:
            self.error = error


class Instance:
    """A data plane with services, and captures of it."""

    def __init__(self, runtime_dir: Path) -> None:
        self.runtime_dir = runtime_dir
        self.rig = Rig(runtime_dir / "bpf")
        self.rig.serve()

    @property
    def one_in(self) -> int:
        return self.rig.dataplane.read().tuning.sample_one_in

    @contextmanager
    def capturing(self, wanted: Wanted = EVERY, sink: Kept | None = None) -> Iterator[Capturing]:
        """A capture that has begun when the block does, and has ended after it."""
        running = Capturing(self.runtime_dir, wanted, sink or Kept())
        try:
            eventually(lambda: self.one_in == wanted.one_in)
            yield running
        finally:
            running.end()

    def flood(self, count: int = FLOOD, port: int = 8080) -> None:
        """Send more than the ring holds, while others may send too."""
        frame = bytes(Ether(dst=OWN_MAC.hex(":")) / to(VIP, port))
        for _ in range(count):
            libbpf.run_program(self.rig.dataplane.program_fd, frame)

    def send(self, *packets: Packet) -> None:
        for packet in packets:
            self.rig.run(bytes(Ether(dst=OWN_MAC.hex(":")) / packet))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    try:
        instance = Instance(tmp_path)
        yield instance
        instance.rig.dataplane.close()
    finally:
        detach_all(tmp_path / "bpf")


def to(vip: object, port: int = 8080, *, size: int = 0, source: str = "1.1.1.1") -> Packet:
    return IP(src=source, dst=str(vip)) / TCP(sport=1000, dport=port, flags="S") / (b"x" * size)


def test_each_packet_has_its_verdict_endpoint_and_pool(instance: Instance) -> None:
    with instance.capturing() as running:
        instance.send(
            to(VIP),
            to(VIP, 99),
            to(VIP_NO_PATH, 80),
            to(VIP_SMALL_MTU, 80, size=2000),
            IP(src="1.1.1.1", dst=str(VIP)) / ICMP(),
        )
        eventually(lambda: len(running.sink.packets) >= 5)

    sent, *others = running.sink.packets
    assert sent.comment in {f"verdict sent, endpoint 56.56.0.{n}, pool web" for n in (1, 2, 3)}
    assert sent.interface == "lo"
    assert sent.sighting.outer is not None
    assert [each.comment for each in others] == [
        "verdict drop_unserved",
        "verdict drop_no_path, endpoint 56.56.0.10, pool dark",
        "verdict answered_too_big, endpoint 56.56.0.9, pool small",
        "verdict answered_echo",
    ]
    assert [each.sighting.outer for each in others] == [None] * 4
    assert others[2].sighting.quoted is not None


def test_what_was_not_sent_has_no_outer_header_whatever_its_ports_look_like(
    instance: Instance,
) -> None:
    """Port 17664 is 0x4500, as an IPv4 header begins."""
    packet = IP(src="1.1.1.1", dst=str(VIP_NO_PATH)) / TCP(sport=0x4500, dport=80)

    with instance.capturing() as running:
        instance.send(packet)
        eventually(lambda: running.sink.packets)

    (seen,) = running.sink.packets
    assert seen.verdict == "drop_no_path"
    assert (seen.sighting.outer, seen.sighting.packet and seen.sighting.packet.ports) == (
        None,
        (0x4500, 80),
    )


def test_a_service_of_a_prefix_and_any_port_is_found(instance: Instance) -> None:
    key = ServiceKey(ip_network("20.20.30.0/24"), Protocol.UDP, 0)
    instance.rig.dataplane.put_service(key, ServiceEntry("small"))

    with instance.capturing() as running:
        instance.send(IP(src="1.1.1.1", dst="20.20.30.7") / UDP(sport=5, dport=6))
        eventually(lambda: running.sink.packets)

    assert running.sink.comments == ["verdict sent, endpoint 56.56.0.9, pool small"]


def test_packets_that_are_for_no_vip_are_taken_by_their_verdict_only(instance: Instance) -> None:
    foreign = to("11.11.11.11")

    with instance.capturing() as plain:
        instance.send(foreign, to(VIP))
        eventually(lambda: plain.sink.packets)
    with instance.capturing(Wanted(verdicts=frozenset({"pass_not_vip"}))) as asked:
        instance.send(to(VIP), foreign)
        eventually(lambda: asked.sink.packets)

    assert [seen.verdict for seen in plain.sink.packets] == ["sent"]
    assert [seen.verdict for seen in asked.sink.packets] == ["pass_not_vip"]


def test_a_capture_ends_after_as_many_as_were_asked_for(instance: Instance) -> None:
    with instance.capturing(Wanted(count=3)) as running:
        instance.send(*[to(VIP)] * 3)
        running.join()

    assert running.taken == Taken(count=3)
    assert instance.one_in == 0


def test_a_capture_takes_no_more_than_were_asked_for(instance: Instance) -> None:
    class Crowded(Kept):
        """While it has one, more come than are wanted."""

        def flush(self) -> None:
            if len(self.packets) == 1:
                instance.flood(9)

    with instance.capturing(Wanted(count=3), Crowded()) as running:
        instance.flood(1)
        running.join()

    assert running.taken == Taken(count=3)
    assert len(running.sink.packets) == 3


def test_nothing_is_sampled_once_a_capture_has_ended(instance: Instance) -> None:
    with instance.capturing() as running:
        pass
    instance.send(to(VIP))

    assert instance.one_in == 0
    assert running.sink.packets == []
    assert instance.rig.dataplane.samples().read() == []


def test_nothing_is_sampled_once_a_capture_has_failed(instance: Instance) -> None:
    with instance.capturing(sink=Broken()) as running:
        instance.send(to(VIP))
        running.join()

    assert isinstance(running.error, BrokenPipeError)
    assert instance.one_in == 0


def test_what_an_earlier_capture_left_is_not_taken(instance: Instance) -> None:
    instance.rig.dataplane.set_tuning(Tuning(sample_one_in=1))
    instance.send(to(VIP))
    instance.rig.dataplane.set_tuning(Tuning())

    with instance.capturing() as running:
        instance.send(to(VIP, 99))
        eventually(lambda: running.sink.packets)

    assert [seen.verdict for seen in running.sink.packets] == ["drop_unserved"]


def test_a_capture_goes_on_although_the_daemon_sets_its_settings(instance: Instance) -> None:
    with instance.capturing() as running:
        instance.rig.dataplane.set_tuning(Tuning())
        eventually(lambda: instance.one_in == 1)
        instance.send(to(VIP))
        eventually(lambda: running.sink.packets)

    assert len(running.sink.packets) == 1


def test_samples_that_come_faster_than_they_are_read_are_told(instance: Instance) -> None:
    class Slow(Kept):
        """While it writes more comes than the ring holds."""

        floods = 2

        def flush(self) -> None:
            if self.packets and self.floods:
                self.floods -= 1
                instance.flood()

    def other_arrives() -> bool:
        instance.flood(1, port=99)
        return slow.packets[-1].verdict == "drop_unserved"

    slow = Slow()
    with instance.capturing(sink=slow) as running:
        instance.flood()
        eventually(lambda: not slow.floods)
        eventually(other_arrives)

    assert running.taken is not None
    assert running.taken.is_full
    assert running.taken.count < 3 * FLOOD


def test_a_flood_is_read_in_parts(instance: Instance) -> None:
    with closing(Pins(instance.runtime_dir / "bpf")) as pins:
        samples = pins.samples()
        pins.sample_one_in = 1
        instance.flood()

        sizes = [len(samples.read()) for _ in range(2)]
        samples.close()

    assert sizes == [pins.sample_capacity, 0]


def test_two_captures_at_once_are_refused(instance: Instance) -> None:
    with (
        instance.capturing() as running,
        pytest.raises(ConflictError, match=f"process {os.getpid()} captures from instance"),
        open_session(instance.runtime_dir, instance.runtime_dir / "bpf"),
    ):
        pass

    assert running.error is None


def test_a_capture_changes_nothing_that_the_owner_reads(instance: Instance) -> None:
    before = instance.rig.dataplane.read()

    with instance.capturing():
        pass

    assert instance.rig.dataplane.read() == before
    state = read_pinned_state(instance.runtime_dir / "bpf")
    assert (state.is_mounted, state.links, state.leftovers) == (True, {}, ())


def test_an_instance_without_a_data_plane_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"has no data plane.*by `ip netns exec`.*doctor`"):
        open_session(tmp_path, tmp_path / "bpf").__enter__()


def test_an_instance_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="there is no instance gone on this host"):
        open_session(tmp_path / "gone", tmp_path / "gone/bpf").__enter__()


def test_a_data_plane_of_another_version_is_told(tmp_path: Path) -> None:
    pins = tmp_path / "bpf"
    try:
        Dataplane(pins).close()
        (pins / "maps/pool_infos").unlink()
        (pins / "maps/notes").rename(pins / "maps/pool_infos")

        with pytest.raises(UnavailableError, match="is of another version"):
            Pins(pins)
    finally:
        detach_all(pins)


def test_a_verdict_that_is_none_is_told() -> None:
    with pytest.raises(NotFoundError, match="there is no verdict 'snet'; there are sent, "):
        Wanted(verdicts=frozenset({"snet"}))
