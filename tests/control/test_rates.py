"""What still goes to endpoints that drain."""

from ipaddress import ip_address

from headrace.control.desired import build_desired, targets_of
from headrace.control.rates import FLOW_SKETCHES, FLOWS_S, Rates, draining_reaches
from headrace.maglev import SKETCH_BYTES, mark_flow
from headrace.model import Forwarding, Reach, parse_document
from tests.control.fakes import FakeDataplane, Journal, path_to

POOL = "web: {slots: 251, endpoints: [%s]}"
SERVICE = "{vip: 192.0.2.1, protocol: udp, port: 443, pool: web%s}"
PLAIN = "{address: 56.0.0.1}"
DRAINING = "{address: 56.0.0.2, state: draining}"


class Counting(FakeDataplane):
    """Endpoints that get flows as a test says."""

    def __init__(self) -> None:
        super().__init__(Journal())
        self.marked: list[int] = []

    def take_flows(self, reach: Reach) -> bytes:
        taken, self.marked = self.marked, []
        sketch = bytearray(SKETCH_BYTES)
        for each in taken:
            mark_flow(sketch, each)
        return bytes(sketch)


def reaches(*endpoints: str) -> dict[str, bool]:
    text = f"services: [{SERVICE % ', quic: true'}]\npools: {{{POOL % ', '.join(endpoints)}}}"
    document = parse_document(text)
    paths = {
        each: path_to(each, each.endpoint, document.node.sources) for each in targets_of(document)
    }
    desired = build_desired(
        document, paths, Forwarding((0,) * 6, {}, {}, {}), None, {"web": frozenset()}
    )
    return {str(k.endpoint): v for k, v in draining_reaches(document, desired).items()}


def test_endpoints_that_drain_are_looked_at() -> None:
    assert reaches(PLAIN, DRAINING, "{address: 56.0.0.3, state: disabled}") == {"56.0.0.2": True}


def test_flows_are_not_counted_where_an_endpoint_has_some_of_its_own() -> None:
    by_id = "{address: 56.0.0.3, state: draining, server_id: 1}"

    assert reaches(PLAIN, DRAINING, by_id) == {"56.0.0.2": True, "56.0.0.3": False}
    assert reaches(DRAINING) == {"56.0.0.2": False}


def test_flows_count_for_a_minute_whichever_look_saw_them() -> None:
    plane = Counting()
    (reach,) = plane.endpoints = {Reach(ip_address("56.0.0.2")): None}
    rates = Rates(plane)
    plane.marked = [1, 2, 3]  # from before
    rates.sample({reach: True}, 0.0)
    assert rates.flows_seen(reach) is None

    plane.marked = [4, 5]
    rates.sample({reach: True}, 1.0)
    plane.marked = [5, 6]
    rates.sample({reach: True}, 2.0)
    assert rates.flows_seen(reach) == 3

    for look in range(1, FLOW_SKETCHES + 1):
        rates.sample({reach: True}, 1.0 + look * FLOWS_S)
    assert rates.flows_seen(reach) == 0


def test_what_is_not_counted_is_not_told() -> None:
    plane = Counting()
    (reach,) = plane.endpoints = {Reach(ip_address("56.0.0.2")): None}
    rates = Rates(plane)
    for now in (0.0, 1.0):
        rates.sample({reach: False}, now)

    assert (rates.flows_seen(reach), rates.packets_per_s(reach)) == (None, 0.0)
