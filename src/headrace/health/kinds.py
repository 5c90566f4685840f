"""Which exchanges a target's probe is made of."""

from headrace.health.exchange import Exchange, destination_of
from headrace.health.probe_http import FULL_HTTP, FULL_HTTPS, HTTP, HTTPS
from headrace.health.probe_ping import FULL_PING4, FULL_PING6, PING4, PING6
from headrace.health.probe_tcp import FULL_TCP, SCTP, TCP
from headrace.health.probe_udp import UDP
from headrace.model import ProbeKind, ProbeTarget

_SMALL = {
    ProbeKind.TCP: TCP,
    ProbeKind.HTTP: HTTP,
    ProbeKind.HTTPS: HTTPS,
    ProbeKind.UDP: UDP,
    ProbeKind.SCTP: SCTP,
}
_FULL_SIZE = {
    ProbeKind.TCP: FULL_TCP,
    ProbeKind.HTTP: FULL_HTTP,
    ProbeKind.HTTPS: FULL_HTTPS,
}


def exchanges_of(target: ProbeTarget) -> tuple[Exchange, ...]:
    """The exchanges of one try, in order: all must pass. None for the kind `none`.

    udp and sctp have no full-size exchange: nothing would say whether padding arrived.
    """
    kind, is_v4 = target.probe.kind, destination_of(target).version == 4
    match kind:
        case ProbeKind.NONE:
            return ()
        case ProbeKind.PING:
            both = (PING4, FULL_PING4) if is_v4 else (PING6, FULL_PING6)
            return both if target.probe.full_size else both[:1]
        case _:
            has_full_size = target.probe.full_size and kind in _FULL_SIZE
            return (_SMALL[kind], *((_FULL_SIZE[kind],) if has_full_size else ()))
