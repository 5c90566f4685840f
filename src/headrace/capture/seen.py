"""A sampled packet in the words of an operator. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from headrace.dataplane.sighting import IpPacket, Sighting
from headrace.model import IPAddress

_ONE_S_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One packet as it left the data plane, and what became of it."""

    time_ns: int  # since 1970
    interface: str  # it came in by
    verdict: str
    endpoint: IPAddress | None  # that it was for
    pool: str  # empty: of no service
    frame: bytes  # the first of them
    length_bytes: int  # of the whole frame
    sighting: Sighting

    @property
    def comment(self) -> str:
        """What became of it."""
        parts = [f"verdict {self.verdict}"]
        if self.endpoint is not None:
            parts.append(f"endpoint {self.endpoint}")
        if self.pool:
            parts.append(f"pool {self.pool}")
        return ", ".join(parts)

    @property
    def line(self) -> str:
        """All of it on one line; the time is local."""
        seconds, rest_ns = divmod(self.time_ns, _ONE_S_NS)
        when = datetime.fromtimestamp(seconds, UTC).astimezone()
        what = _what(self.sighting) or f"a frame of {self.length_bytes} bytes"
        return f"{when:%H:%M:%S}.{rest_ns // 1000:06} {self.interface} {self.comment}: {what}"


def _what(sighting: Sighting) -> str:
    if sighting.packet is None:
        return ""
    text = _text(sighting.packet)
    if sighting.quoted is not None:
        text += f", about {_text(sighting.quoted)}"
    if sighting.outer is not None:
        text += f", in {sighting.outer.source} > {sighting.outer.destination}"
    return text


def _text(packet: IpPacket) -> str:
    source, destination = packet.ports or (None, None)
    ends = f"{_end(packet.source, source)} > {_end(packet.destination, destination)}"
    fragment = " fragment" if packet.is_fragment else ""
    return f"{ends} {packet.protocol}{fragment} {packet.length_bytes} bytes"


def _end(address: IPAddress, port: int | None) -> str:
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
