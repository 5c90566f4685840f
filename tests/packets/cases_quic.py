"""QUIC: a server id in the connection id names the endpoint, whatever the flow's hash."""

from scapy.packet import Raw

from headrace.model import IPAddress, Protocol

from . import services, world
from .case import Case, dropped, sent
from .cases_fragments import fragment
from .packets import flow, frame, icmp_error, ip, reply, tcp, udp
from .world import FAMILIES, SERVER_IDS

INITIAL, ZERO_RTT, HANDSHAKE, RETRY = range(4)
TYPES = {HANDSHAKE: "Handshake", RETRY: "Retry"}
BY_CLIENT = {INITIAL: "Initial", ZERO_RTT: "0-RTT"}
VERSION_2 = 0x6B3343CF  # numbers each type one higher (RFC 9369, 3.2)
TAIL = bytes(range(200, 220))


def connection_id(server_id: int, width: int) -> bytes:
    """A connection id of 8 bytes that carries a server id of 16, 24 or 32 bits."""
    if width == 16:
        head = (1 << 22 | server_id << 6).to_bytes(3, "big")
    else:
        head = bytes([width // 8 - 1 << 6]) + server_id.to_bytes(width // 8, "big")
    return head.ljust(8, b"\x5a")


def long_header(type_: int, cid: bytes, *, version: int = 1) -> bytes:
    """A packet with a long header (RFC 9000, 17.2)."""
    bits = (type_ + (version == VERSION_2)) % 4
    head = bytes([0xC0 | bits << 4]) + version.to_bytes(4, "big")
    return head + bytes([len(cid)]) + cid + b"\0" + TAIL


def short_header(cid: bytes, first: int = 0x40) -> bytes:
    """A packet with a short header (RFC 9000, 17.3)."""
    return bytes([first]) + cid + TAIL


def quic(vip: IPAddress, payload: bytes, *, port: int = 443, sport: int = 40_000) -> bytes:
    return frame(ip(vip) / udp(port, sport) / Raw(payload))


def _widths(server_id: int) -> list[int]:
    return [width for width in (16, 24, 32) if server_id < 1 << width]


def by_id(family: int) -> list[Case]:
    vip, pool = services.QUIC[family], world.QUIC
    cases: list[Case] = []
    for server_id, at in list(SERVER_IDS.items())[:-1]:
        for width in _widths(server_id):
            cid = connection_id(server_id, width)
            cases.append(
                sent(
                    f"IPv{family}: server id {server_id:#x} in {width} bits of a short header",
                    quic(vip, short_header(cid)),
                    pool,
                    to=pool.reaches[at],
                )
            )
    return cases


def by_one_id(family: int) -> list[Case]:
    """Whatever else a packet is, its server id decides."""
    vip, pool = services.QUIC[family], world.QUIC
    cases: list[Case] = []
    cid = connection_id(0x2A5, 16)
    to = pool.reaches[SERVER_IDS[0x2A5]]
    for version, said in ((1, ""), (VERSION_2, " of version 2")):
        for type_, name in TYPES.items():
            cases.append(
                sent(
                    f"IPv{family}: a {name} packet{said} goes by its server id",
                    quic(vip, long_header(type_, cid, version=version)),
                    pool,
                    to=to,
                )
            )
    for first, what in (
        (0x40, "fixed bit"),
        (0x00, "no fixed bit"),
        (0x7F, "every other bit"),
        (0x60, "spin bit"),
    ):
        cases.append(
            sent(
                f"IPv{family}: a short header with {what} goes by its server id",
                quic(vip, short_header(cid, first), sport=40_001),
                pool,
                to=to,
            )
        )
    cases.extend(
        sent(
            f"IPv{family}: a client that moves to port {sport} stays with its endpoint",
            quic(vip, short_header(cid), sport=sport),
            pool,
            to=to,
        )
        for sport in (1, 2, 3)
    )
    return cases


def by_one_id_wherever(family: int) -> list[Case]:
    """However long the connection id is, and whatever stands before or behind it."""
    vip, pool = services.QUIC[family], world.QUIC
    cid = connection_id(0x2A5, 16)
    to = pool.reaches[SERVER_IDS[0x2A5]]
    return [
        *(
            sent(
                f"IPv{family}: a connection id of {size} bytes has its server id in the first",
                quic(vip, long_header(HANDSHAKE, cid.ljust(size, b"\0"))),
                pool,
                to=to,
            )
            for size in (9, 20)
        ),
        sent(
            f"IPv{family}: a long header without the fixed bit goes by its server id (RFC 9287)",
            quic(vip, bytes([0x80 | HANDSHAKE << 4]) + long_header(HANDSHAKE, cid)[1:]),
            pool,
            to=to,
        ),
        sent(
            f"IPv{family}: a short header that ends with its connection id",
            quic(vip, short_header(cid)[:9]),
            pool,
            to=to,
        ),
        sent(
            f"IPv{family}: a long header that ends with its connection id",
            quic(vip, long_header(HANDSHAKE, cid)[:14]),
            pool,
            to=to,
        ),
    ]


def by_hash(family: int) -> list[Case]:
    """Where no id is to be had, the flow's hash decides; nothing is dropped."""
    vip, pool = services.QUIC[family], world.QUIC
    known = connection_id(0x2A5, 16)
    down = next(server_id for server_id, at in SERVER_IDS.items() if at == 7)
    kinds = {
        "an id that nobody has": short_header(connection_id(0x77, 16)),
        "an id known in 16 bits, but said in 24 with more": short_header(
            connection_id(0x1002A5, 24)
        ),
        "the id 0": short_header(connection_id(0, 16)),
        "the id of an endpoint that is down": short_header(connection_id(down, 16)),
        "a connection id of no known kind": short_header(b"\x15" + known[1:]),
        "a connection id of 7 bytes in a long header": long_header(HANDSHAKE, known[:7]),
        "no connection id in a long header": long_header(HANDSHAKE, b""),
        "a short header that ends in its connection id": short_header(known)[:8],
        "a long header that ends in its connection id": long_header(HANDSHAKE, known)[:13],
        "a long header that ends before its length": long_header(HANDSHAKE, known)[:5],
        "one byte": b"\x40",
        "nothing": b"",
        **{
            f"an {name} packet{said}, whose id the client chose,": long_header(
                type_, known, version=version
            )
            for type_, name in BY_CLIENT.items()
            for version, said in ((1, ""), (VERSION_2, " of version 2"))
        },
    }
    return [
        sent(
            f"IPv{family}: {what} goes by its flow's hash",
            quic(vip, payload, sport=50_000 + at),
            pool,
        )
        for at, (what, payload) in enumerate(kinds.items())
    ]


def by_hash_beside(family: int) -> list[Case]:
    """What is not a whole QUIC packet of a QUIC service has no id."""
    vip, pool = services.QUIC[family], world.QUIC
    known = connection_id(0x2A5, 16)
    quote = reply(vip, Protocol.UDP, vip_port=443)
    kind = {4: (3, 3), 6: (1, 4)}[family]
    first = fragment(
        vip, 17, bytes(udp(443)) + short_header(known), more=True, ident=0x8100 + family
    )
    return [
        sent(
            f"IPv{family}: the same bytes go by hash where the service knows no QUIC",
            quic(vip, short_header(known), port=444),
            pool,
        ),
        sent(
            f"IPv{family}: TCP beside a QUIC service goes by hash",
            frame(ip(vip) / tcp(443) / Raw(short_header(known))),
            pool,
        ),
        sent(
            f"IPv{family}: an ICMP error for a QUIC flow goes by its hash",
            frame(icmp_error(vip, *kind, quote)),
            pool,
            flow=flow(vip, Protocol.UDP, 443),
        ),
        sent(
            f"IPv{family}: a first fragment of QUIC goes by hash, as the later ones must",
            first,
            pool,
            flow=flow(vip, Protocol.UDP, 443),
        ),
        sent(
            f"IPv{family}: a later fragment of QUIC goes by hash",
            fragment(vip, 17, b"x" * 8, offset=9, ident=0x8100 + family),
            pool,
            flow=flow(vip, Protocol.UDP, 443),
            before=(first,),
        ),
        sent(
            f"IPv{family}: a connection id that lies in the padding is not read",
            frame(ip(vip) / udp(443, 50_100) / Raw(b"\x40")) + known + bytes(30),
            pool,
        ),
        sent(
            f"IPv{family}: a long header's connection id that ends in the padding is not read",
            frame(ip(vip) / udp(443, 50_101) / Raw(long_header(HANDSHAKE, known)[:13]))
            + known[7:]
            + bytes(30),
            pool,
        ),
        dropped(
            f"IPv{family}: a port beside a QUIC service's is nobody's",
            quic(vip, short_header(known), port=445),
            "drop_unserved",
        ),
    ]


CASES = [
    case
    for family in FAMILIES
    for of in (by_id, by_one_id, by_one_id_wherever, by_hash, by_hash_beside)
    for case in of(family)
]
