"""The daemon's end of the link to the relay."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.bgp.link import (
    CommandRefused,
    LinkLostError,
    RelayLink,
    SessionChanged,
    decode_announcements,
    encode_announcements,
)
from headrace.model import Announcement, ConfigError, ProtocolError, SessionEvent, SessionState

networks = st.builds(IPv4Network, st.ip_addresses(v=4)) | st.builds(
    IPv6Network, st.ip_addresses(v=6)
)
announcements = st.builds(
    Announcement,
    networks,
    st.none() | st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from(["1:2", "1:2:3", "no-export"])).map(tuple),
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


async def read_events(data: bytes, *, limit: int = 2**16) -> list[SessionChanged | CommandRefused]:
    with link_fed(data, limit=limit) as (link, _):
        return [event async for event in link.events()]


@settings(deadline=None)
@given(st.frozensets(announcements, max_size=5))
def test_announcements_survive_the_way_to_the_relay(some: frozenset[Announcement]) -> None:
    assert decode_announcements(json.loads(json.dumps(encode_announcements(some)))) == some


@pytest.mark.parametrize(
    "community", ["", "1", "1:2:3:4", "1:2 ]", "no export", "1:2\nshutdown", "-1:2"]
)
def test_what_is_no_community_never_reaches_exabgp(community: str) -> None:
    with pytest.raises(ConfigError, match="is no community"):
        encode_announcements([Announcement(IPv4Network("20.20.20.1/32"), None, (community,))])


async def test_events_are_values() -> None:
    session = {"type": "session", "peer": "10.9.1.254", "state": "up", "since": 4.5, "reason": ""}
    refused = {"type": "refused", "command": "announce"}
    data = b"".join(json.dumps(message).encode() + b"\n" for message in (session, refused))

    events = await read_events(data)

    event = SessionEvent(ip_address("10.9.1.254"), SessionState.UP)
    assert events == [SessionChanged(event, 4.5), CommandRefused("announce")]


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


@settings(deadline=None)
@given(st.binary() | st.text(alphabet='{}[]":,1a').map(str.encode))
def test_no_bytes_of_a_relay_raise_anything_but_a_protocol_error(data: bytes) -> None:
    async def read_all() -> None:
        for start in (b"", b'{"type": "session", "peer": ', b'{"type": "hello", "version": '):
            with link_fed(start + data + b"\n") as (link, _), pytest.raises(ProtocolError):
                await link.hello()
            with contextlib.suppress(ProtocolError):
                await read_events(start + data + b"\n")

    asyncio.run(read_all())
