"""What is asked of the kernel is limited."""

from ipaddress import ip_address

from headrace.model import Target, Unresolved
from headrace.model.limits import LIMIT_NEXT_HOPS
from headrace.underlay.outer import Outer
from headrace.underlay.survey import limit_neighbours
from tests.underlay.values import by_index, leg, link


def test_endpoints_beyond_the_limit_of_next_hops_are_refused_and_the_earlier_keep_theirs() -> None:
    base = ip_address("10.0.0.1")
    targets = [Target(base + number) for number in range(LIMIT_NEXT_HOPS + 1)]
    outers = {target: Outer(target, target.endpoint, None, (leg(2),)) for target in targets}
    shared = Target(ip_address("99.0.0.1"))
    outers[shared] = Outer(shared, shared.endpoint, None, (leg(2, "10.0.0.1"),))

    kept, wanted = limit_neighbours(outers, by_index([link(2, "eth0", None)]))

    assert len(wanted) == LIMIT_NEXT_HOPS
    refused = {target: outer for target, outer in kept.items() if isinstance(outer, Unresolved)}
    assert list(refused) == [targets[-1]]
    assert refused[targets[-1]].reason.startswith("10.0.4.1 needs one more next hop than the")
