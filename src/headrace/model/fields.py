"""The document's single values: how each is read, and what it must be.

Every refusal names the thing, the rule and the remedy.
"""

import re
from collections.abc import Callable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from headrace.model.limits import (
    LIMIT_ANSWERS_PER_S,
    LIMIT_HOLD_DOWN_S,
    LIMIT_IDLE_S,
    LIMIT_NAME_BYTES,
    LIMIT_PREPEND,
    LIMIT_PROBE_BYTES,
    LIMIT_PROBE_INTERVAL_S,
    LIMIT_PROBE_STREAK,
    LIMIT_SERVICE_NAME_BYTES,
    LIMIT_WEIGHT,
    SLOT_COUNT_MAX,
    SLOT_COUNT_MIN,
)
from headrace.model.problems import shown
from headrace.model.values import IPAddress, IPNetwork

_NOT_UNICAST: tuple[IPNetwork, ...] = (
    ip_network("0.0.0.0/32"),
    ip_network("127.0.0.0/8"),
    ip_network("169.254.0.0/16"),
    ip_network("224.0.0.0/4"),
    ip_network("::/128"),
    ip_network("::1/128"),
    ip_network("fe80::/10"),
    ip_network("ff00::/8"),
)
_V4_MAPPED = IPv6Network("::ffff:0:0/96")
_SOURCE_PREFIX_LENGTHS = {4: 16, 6: 112}  # 16 bits are left to the flow's hash
_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_PERCENT = re.compile(r"([0-9]{1,3})%")
_COMMUNITY = re.compile(r"[0-9]{1,10}(:[0-9]{1,10}){1,2}")
_COMMUNITY_PATTERN = re.compile(r"(\*|[0-9]{1,10})(:(\*|[0-9]{1,10})){1,2}")
_SIGNED = re.compile(r"([+-])([0-9]{1,10})")
_HEX = "hex:"


def read_address(value: object) -> IPAddress:
    """An address from its text; numbers and zones, which `ipaddress` takes too, are refused."""
    address = value if isinstance(value, IPv4Address | IPv6Address) else _parsed_address(value)
    if address is None:
        raise ValueError(f"{shown(value)} is not an IP address; write one as 192.0.2.1")
    if address.version == 6 and address.ipv4_mapped is not None:
        # The data plane holds IPv4 addresses in this form, so that it must mean nothing else.
        raise ValueError(f"{value} is an IPv4 address; write {address.ipv4_mapped}")
    return address


def read_prefix(value: object) -> IPNetwork:
    """A prefix from its text; an address is the prefix of it alone."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if isinstance(value, IPv4Address | IPv6Address):
        return ip_network(value)
    if not isinstance(value, str) or "%" in value:
        raise ValueError(f"{shown(value)} is not a prefix; write one as 192.0.2.0/24")
    try:
        interface = ip_interface(value)
    except ValueError as error:
        raise ValueError(f"{shown(value)} is not a prefix; write one as 192.0.2.0/24") from error
    if interface.ip != interface.network.network_address:
        raise ValueError(f"{value} has bits set behind the prefix; write {interface.network}")
    if interface.version == 6 and interface.network.subnet_of(_V4_MAPPED):
        raise ValueError(f"{value} means IPv4 addresses; write them as IPv4")
    return interface.network


def whole(low: int, high: int, remedy: str = "") -> Callable[[object], int]:
    """A check that a value is a whole number in a range; text that looks like one is refused."""

    def read(value: object) -> int:
        if type(value) is int and low <= value <= high:
            return value
        hint = "; write it without quotes" if isinstance(value, str) and value.isdigit() else remedy
        raise ValueError(f"{shown(value)} is not a whole number in {low}..{high}{hint}")

    return read


def number(low: float, high: float) -> Callable[[object], float]:
    """A check that a value is a number in a range, whole or not."""

    def read(value: object) -> float:
        if type(value) in {int, float} and low <= value <= high:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        span = f"{low:g}..{high:g}"
        if type(value) in {int, float}:
            raise ValueError(f"{shown(value)} is not in {span}; use a number that is")
        hint = "write it without quotes" if isinstance(value, str) else "use one"
        raise ValueError(f"{shown(value)} is not a number in {span}; {hint}")

    return read


def _parsed_address(value: object) -> IPAddress | None:
    if isinstance(value, str) and "%" not in value:
        try:
            return ip_address(value)
        except ValueError:
            pass
    return None


def _read_vip(value: object) -> IPAddress | IPNetwork:
    """An address, or a prefix of more than one."""
    if isinstance(value, IPv4Network | IPv6Network) or (isinstance(value, str) and "/" in value):
        prefix = read_prefix(value)
        return prefix if prefix.num_addresses > 1 else prefix.network_address
    return read_address(value)


def _check_vip(vip: IPAddress | IPNetwork) -> IPAddress | IPNetwork:
    """A VIP that routers can announce."""
    prefix = ip_network(vip)
    for other in _NOT_UNICAST:
        if prefix.version == other.version and prefix.overlaps(other):
            if isinstance(vip, IPv4Address | IPv6Address):
                raise ValueError(f"{vip} is not a unicast address that routers forward; use one")
            raise ValueError(f"{vip} holds {other}, which routers do not forward; use another")
    return vip


def _check_endpoint_address(address: IPAddress) -> IPAddress:
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise ValueError(f"{address} is not the address of a server; use the endpoint's own")
    if address.version == 6 and address.is_link_local:
        raise ValueError(f"{address} is link-local, of no interface in particular; use another")
    return address


def _read_ipv4(value: object) -> IPv4Address:
    address = read_address(value)
    if not isinstance(address, IPv4Address):
        raise ValueError(f"{address} is not an IPv4 address; a router id always is, as 192.0.2.1")  # noqa: TRY004
    return address


def _read_outer_source(value: object, version: int) -> IPAddress | IPNetwork:
    """An outer source address, or the prefix that leaves 16 bits to the flow's hash."""
    length = _SOURCE_PREFIX_LENGTHS[version]
    found: IPAddress | IPNetwork
    if isinstance(value, IPv4Network | IPv6Network) or (isinstance(value, str) and "/" in value):
        found = read_prefix(value)
        if found.version == version and found.prefixlen != length:
            raise ValueError(
                f"{found} is not a /{length}, which leaves 16 bits to the hash; use one"
            )
    else:
        found = read_address(value)
    if found.version != version:
        other = "source" if version == 6 else "source6"
        raise ValueError(f"{found} is not IPv{version}; write it under {other}")
    return found


def _read_source4(value: object) -> IPAddress | IPNetwork:
    return _read_outer_source(value, 4)


def _read_source6(value: object) -> IPAddress | IPNetwork:
    return _read_outer_source(value, 6)


def _read_ports(value: object) -> int | str:
    """A port, "any", or a range; a range of one port is that port."""
    if value == "any" or (type(value) is int and 1 <= value <= 65_535):
        return value
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            f'{shown(value)} is not a port: use 1..65535, a range as 8000-8010, or "any" for all'
        )
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last <= 65_535:
        raise ValueError(f"{value} is not a range of ports in 1..65535, the lower one first")
    return first if first == last else f"{first}-{last}"


def _read_status(value: object) -> int | str:
    """An HTTP status, or a range of them."""
    if type(value) is int and 100 <= value <= 599:
        return value
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 100 <= int(match[1]) <= int(match[2]) <= 599:
        raise ValueError(f'{shown(value)} is no HTTP status: use 100..599, or a range as "200-299"')
    return f"{match[1]}-{match[2]}"


def _read_share(value: object) -> int | str:
    """A number of endpoints, or a part of them in percent."""
    if type(value) is int and value >= 1:
        return value
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 1 <= int(match[1]) <= 100:
        raise ValueError(
            f'{shown(value)} is no number of endpoints: use 1 or more, or a part as "50%"'
        )
    return f"{int(match[1])}%"


def read_community(value: object) -> str:
    """A community, as 65535:0 (RFC 1997), or a large one, as 64512:1:2 (RFC 8092)."""
    if isinstance(value, str) and _COMMUNITY.fullmatch(value):
        parts = [int(part) for part in value.split(":")]
        if max(parts) <= (0xFFFF if len(parts) == 2 else 0xFFFF_FFFF):
            return ":".join(map(str, parts))
    raise ValueError(
        f'{shown(value)} is not a community; write "65535:0", or a large one as "64512:1:2"'
    )


def _read_next_hop(value: object) -> IPAddress | str:
    if value == "self":
        return "self"
    address = read_address(value)
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise ValueError(f'{address} is not the address of a node; use one, or "self"')
    if address.is_link_local:
        raise ValueError(f"{address} is link-local, of no network in particular; use another")
    return address


def _read_community_pattern(value: object) -> str:
    """A community in which any part may be `*`, for all numbers there."""
    if isinstance(value, str) and _COMMUNITY_PATTERN.fullmatch(value):
        plain = read_community(value.replace("*", "0")).split(":")
        return ":".join(
            part if part == "*" else read
            for part, read in zip(value.split(":"), plain, strict=True)
        )
    raise ValueError(
        f'{shown(value)} is not a community; write "64512:7", "64512:1:2", or * for any number'
    )


def _read_med_change(value: object) -> int | str:
    """A MED, or by how much it changes, with its sign."""
    if type(value) is int and 0 <= value <= 0xFFFF_FFFF:
        return value
    match = _SIGNED.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > 0xFFFF_FFFF:
        raise ValueError(
            f'{shown(value)} is not a MED: use 0..4294967295, or a change as "+50" or "-50"'
        )
    return f"{match[1]}{int(match[2])}"


def _read_payload(value: object) -> str:
    """What a probe sends or expects, as text or `hex:` and digits."""
    if not isinstance(value, str):
        raise ValueError(f'{shown(value)} is not text; put it in quotes, or write "hex:00ff"')  # noqa: TRY004
    try:
        size = len(payload(value))
    except ValueError as error:
        raise ValueError(f"{shown(value)} is not hex: and pairs of digits, as hex:00ff") from error
    if size > LIMIT_PROBE_BYTES:
        raise ValueError(f"is {size} bytes, over the limit of {LIMIT_PROBE_BYTES}; shorten it")
    return value


def payload(text: str) -> bytes:
    """The bytes that a text or `hex:` and digits stand for; ValueError for other digits."""
    if text.startswith(_HEX):
        return bytes.fromhex(text.removeprefix(_HEX))
    return text.encode()


def _line(pattern: str, remedy: str) -> Callable[[object], str]:
    """A check of text that becomes a part of an HTTP request's header."""
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        if isinstance(value, str) and compiled.fullmatch(value):
            return value
        raise ValueError(f"{shown(value)} {remedy}")

    return read


def _read_dscp(value: object) -> int | str:
    if value == "copy" or (type(value) is int and 0 <= value <= 63):
        return value
    raise ValueError(f'{shown(value)} is not a DSCP: use 0..63, or "copy" for the packet\'s own')


def _read_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{shown(value)} is neither true nor false; write one of them")


def _check_prime(slots: int) -> int:
    if not _is_prime(slots):
        raise ValueError(f"{slots} is not a prime; use {_next_prime(slots)}")
    return slots


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _next_prime(number: int) -> int:
    while not _is_prime(number):
        number += 1
    return number


_NAME = r"^[A-Za-z0-9_.:/\[\]-]+$"
Name = Annotated[str, Field(min_length=1, max_length=LIMIT_NAME_BYTES, pattern=_NAME)]
ServiceName = Annotated[
    str, Field(min_length=1, max_length=LIMIT_SERVICE_NAME_BYTES, pattern=_NAME)
]
Address = Annotated[IPAddress, BeforeValidator(read_address)]
Prefix = Annotated[IPNetwork, BeforeValidator(read_prefix)]
Vip = Annotated[IPAddress | IPNetwork, BeforeValidator(_read_vip), AfterValidator(_check_vip)]
EndpointAddress = Annotated[Address, AfterValidator(_check_endpoint_address)]
RouterId = Annotated[IPv4Address, BeforeValidator(_read_ipv4)]
OuterSource4 = Annotated[IPv4Address | IPv4Network, BeforeValidator(_read_source4)]
OuterSource6 = Annotated[IPv6Address | IPv6Network, BeforeValidator(_read_source6)]
Flag = Annotated[bool, BeforeValidator(_read_bool)]
PortNumber = Annotated[int, Field(ge=1, le=65_535), BeforeValidator(whole(1, 65_535))]
Ports = Annotated[
    Annotated[int, Field(ge=1, le=65_535)]
    | Annotated[str, Field(pattern=r"^(any|[0-9]{1,5}-[0-9]{1,5})$")],
    BeforeValidator(_read_ports),
]
Dscp = Annotated[Annotated[int, Field(ge=0, le=63)] | Literal["copy"], BeforeValidator(_read_dscp)]
AsNumber = Annotated[int, Field(ge=1, le=2**32 - 1), BeforeValidator(whole(1, 2**32 - 1))]
ServerId = Annotated[int, Field(ge=1, le=2**32 - 1), BeforeValidator(whole(1, 2**32 - 1))]
Weight = Annotated[
    int, Field(ge=0, le=LIMIT_WEIGHT), BeforeValidator(whole(0, LIMIT_WEIGHT, "; 0 drains"))
]
SlotCount = Annotated[
    int,
    Field(ge=SLOT_COUNT_MIN, le=SLOT_COUNT_MAX),
    BeforeValidator(whole(SLOT_COUNT_MIN, SLOT_COUNT_MAX)),
    AfterValidator(_check_prime),
]
HoldTime = Annotated[int, Field(ge=3, le=65_535), BeforeValidator(whole(3, 65_535))]
Ttl = Annotated[int, Field(ge=2, le=255), BeforeValidator(whole(2, 255))]
IdleTime = Annotated[int, Field(ge=1, le=LIMIT_IDLE_S), BeforeValidator(whole(1, LIMIT_IDLE_S))]
AnswerRate = Annotated[
    int,
    Field(ge=0, le=LIMIT_ANSWERS_PER_S),
    BeforeValidator(whole(0, LIMIT_ANSWERS_PER_S, "; 0 answers nothing")),
]
HashSeed = Annotated[int, Field(ge=0, le=2**64 - 1), BeforeValidator(whole(0, 2**64 - 1))]
Interval = Annotated[
    float,
    Field(ge=0.05, le=LIMIT_PROBE_INTERVAL_S),
    BeforeValidator(number(0.05, LIMIT_PROBE_INTERVAL_S)),
]
Streak = Annotated[
    int, Field(ge=1, le=LIMIT_PROBE_STREAK), BeforeValidator(whole(1, LIMIT_PROBE_STREAK))
]
Payload = Annotated[str, BeforeValidator(_read_payload)]
Status = Annotated[
    Annotated[int, Field(ge=100, le=599)] | Annotated[str, Field(pattern=r"^[0-9]{3}-[0-9]{3}$")],
    BeforeValidator(_read_status),
]
HostName = Annotated[
    str,
    BeforeValidator(_line(r"[A-Za-z0-9._-]{0,253}", "is no host name; write it as example.org")),
]
Resource = Annotated[
    str,
    BeforeValidator(_line(r"/[!-~]{0,1023}", "is no path; begin it with / and leave out spaces")),
]
FilePath = Annotated[
    str, BeforeValidator(_line(r"(/[^\x00]{1,1023})?", "is no file; write its full path"))
]
Share = Annotated[
    float,
    Field(ge=0, le=1),
    BeforeValidator(number(0, 1)),
]
Least = Annotated[
    Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^[0-9]{1,3}%$")],
    BeforeValidator(_read_share),
]
Wait = Annotated[
    float, Field(ge=0, le=LIMIT_HOLD_DOWN_S), BeforeValidator(number(0, LIMIT_HOLD_DOWN_S))
]
Community = Annotated[str, BeforeValidator(read_community)]
Metric = Annotated[int, Field(ge=0, le=2**32 - 1), BeforeValidator(whole(0, 2**32 - 1))]
Prepend = Annotated[int, Field(ge=0, le=LIMIT_PREPEND), BeforeValidator(whole(0, LIMIT_PREPEND))]
RouteNextHop = Annotated[
    Annotated[str, Field(pattern="^self$")] | IPAddress, BeforeValidator(_read_next_hop)
]
CommunityPattern = Annotated[str, BeforeValidator(_read_community_pattern)]
MedChange = Annotated[
    Annotated[int, Field(ge=0, le=2**32 - 1)] | Annotated[str, Field(pattern=r"^[+-][0-9]{1,10}$")],
    BeforeValidator(_read_med_change),
]
