"""The daemon's end of the link to the relay."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bgp.link import (
    Carried,
    CommandRefused,
    Event,
    LinkLostError,
    RelayLink,
    SessionChanged,
    WatchChanged,
    check_communities,
    decode_announcements,
    encode_announcements,
)
from headrace.bgp.relay.messages import PROTOCOL_VERSION
from headrace.model import (
    Announcement,
    BfdState,
    ConfigError,
    Family,
    ProtocolError,
    SessionEvent,
    SessionState,
)

PEER = "10.9.1.254"

networks = st.builds(IPv4Network, st.ip_addresses(v=4)) | st.builds(
    IPv6Network, st.ip_addresses(v=6)
)
announcements = st.builds(
    Announcement,
    networks,
    st.none() | st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from(["1:2", "1:2:3"])).map(tuple),
    st.integers(0, 16),
    st.none() | st.integers(0, 2**32 - 1),
    st.none() | st.ip_addresses(),
)


class Wire(asyncio.Transport):
    """A transport that keeps what is written and loses nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True


@contextlib.contextmanager
def link_fed(data: bytes, *, limit: int = 2**16) -> Iterator[tuple[RelayLink, Wire]]:
    """A link on which these bytes, and then the end, have come in."""
    reader = asyncio.StreamReader(limit=limit)
    reader.feed_data(data)
    reader.feed_eof()
    wire = Wire()
    loop = asyncio.get_running_loop()
    writer = asyncio.StreamWriter(wire, asyncio.StreamReaderProtocol(reader), reader, loop)
    link = RelayLink(reader, writer)
    with contextlib.closing(link):
        yield link, wire


async def read_events(data: bytes, *, limit: int = 2**16) -> list[Event]:
    with link_fed(data, limit=limit) as (link, _):
        return [event async for event in link.events()]


@given(st.frozensets(announcements, max_size=5))
def test_announcements_survive_the_way_to_the_relay(some: frozenset[Announcement]) -> None:
    assert decode_announcements(json.loads(json.dumps(encode_announcements(some)))) == some


@pytest.mark.parametrize(
    "community", ["", "1", "1:2:3:4", "1:2 ]", "no export", "1:2\nshutdown", "-1:2", "65536:1"]
)
def test_what_is_no_community_never_reaches_a_speaker(community: str) -> None:
    with pytest.raises(ConfigError, match="is not a community"):
        check_communities([Announcement(IPv4Network("20.20.20.1/32"), None, (community,))])


async def test_events_are_values() -> None:
    session = {"type": "session", "peer": "10.9.1.254", "state": "up", "since": 4.5, "reason": ""}
    carried = session | {"families": [4], "unsaid": ["20.20.20.1/32", "fd00::1/128"]}
    refused = {"type": "refused", "command": "announce"}
    watched = {"type": "watched", "peer": "10.9.1.254", "state": "down", "since": 5.0}
    messages = [session, carried, refused, watched, watched | {"state": None}]
    data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)

    events = await read_events(data)

    peer = ip_address("10.9.1.254")
    assert events == [
        SessionChanged(SessionEvent(peer, SessionState.UP), 4.5),
        SessionChanged(
            SessionEvent(peer, SessionState.UP),
            4.5,
            Carried(frozenset({Family.IPV4}), frozenset({ip_network("20.20.20.1/32")})),
        ),
        CommandRefused("announce"),
        WatchChanged(peer, BfdState.DOWN, 5.0),
        WatchChanged(peer, None, 5.0),
    ]


@pytest.mark.parametrize("name", ["exabgp", "speaker"])
async def test_a_relay_of_another_version_is_known_by_its_process(name: str) -> None:
    line = json.dumps({"type": "hello", "version": 1, name: 42}).encode()

    with link_fed(line + b"\n") as (link, _):
        hello = await link.hello()

    assert (hello.version, hello.speaker_pid) == (1, 42)


@pytest.mark.parametrize(
    ("extra", "carried"),
    [
        pytest.param({}, Carried(), id="a relay of an earlier Headrace"),
        pytest.param({"families": {PEER: [4, 6]}}, Carried(frozenset(Family)), id="families"),
        pytest.param(
            {"unsaid": {PEER: ["fd00::1/128"]}},
            Carried(None, frozenset({ip_network("fd00::1/128")})),
            id="unsaid",
        ),
    ],
)
async def test_a_greeting_may_say_what_sessions_carry(
    extra: dict[str, object], carried: Carried
) -> None:
    hello = {"type": "hello", "version": PROTOCOL_VERSION, "speaker": 42, "announcements": []}
    line = json.dumps(hello | {"sessions": [[PEER, 1.0]], "watched": []} | extra).encode()

    with link_fed(line + b"\n") as (link, _):
        assert (await link.hello()).carried == {ip_address(PEER): carried}


async def test_who_waits_for_an_answer_hears_that_the_relay_is_gone() -> None:
    with link_fed(b"") as (link, wire):
        async with asyncio.TaskGroup() as group:
            group.create_task(expect_loss(link))
            await asyncio.sleep(0)
            link.close()
        await expect_loss(link)

    assert json.loads(wire.written) == {"type": "command", "text": "version", "id": 1}


async def expect_loss(link: RelayLink) -> None:
    with pytest.raises(LinkLostError):
        await link.command("version")


async def test_a_line_without_end_is_a_broken_protocol() -> None:
    with pytest.raises(ProtocolError):
        await read_events(b"x" * 100, limit=10)


@given(st.binary() | st.text(alphabet='{}[]":,1a').map(str.encode))
def test_no_bytes_of_a_relay_raise_anything_but_a_protocol_error(data: bytes) -> None:
    async def read_all() -> None:
        for start in (b"", b'{"type": "session", "peer": ', b'{"type": "hello", "version": '):
            with link_fed(start + data + b"\n") as (link, _), pytest.raises(ProtocolError):
                await link.hello()
            with contextlib.suppress(ProtocolError):
                await read_events(start + data + b"\n")

    asyncio.run(read_all())
