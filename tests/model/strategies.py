"""Documents for tests: valid ones by hypothesis, and what is wrong with others."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import strategies as st

from headrace.model import (
    Affinity,
    Bfd,
    Bgp,
    Cluster,
    ConfigError,
    Document,
    Encapsulation,
    Endpoint,
    Family,
    FlowTable,
    HealthCheck,
    IPAddress,
    IPNetwork,
    Node,
    OperatorState,
    Peer,
    Pool,
    ProbeKind,
    ProbePath,
    Protocol,
    Role,
    Service,
    ServiceKey,
    TunnelEntry,
    Unserved,
    WhenUnknown,
    parse_document,
)
from headrace.model.exports import (
    Actions,
    CommunityActions,
    Conditions,
    Matching,
    PrefixRange,
    RouteResult,
    SetMatch,
    Statement,
)

SERVICE = "{vip: 20.20.20.1, protocol: tcp, port: 8080, endpoints: [{address: 56.56.56.1}]}"


def problems_of(text: str) -> list[str]:
    """What is wrong with a document, each problem on a line."""
    with pytest.raises(ConfigError) as caught:
        parse_document(text)
    return [str(problem) for problem in caught.value.problems]


_PRIMES = [251, 65_537, 655_373]

_V6 = 0x20010DB8 << 96
unicast4 = st.integers(0x0A000000, 0x0AFFFFFF).map(IPv4Address)
unicast6 = st.integers(_V6, _V6 + 0xFFFF).map(IPv6Address)
unicast: st.SearchStrategy[IPAddress] = unicast4 | unicast6
prefixes4: st.SearchStrategy[IPNetwork] = st.builds(
    lambda address, length: IPv4Network((address, length), strict=False),
    unicast4,
    st.integers(8, 31),
)
prefixes6: st.SearchStrategy[IPNetwork] = st.builds(
    lambda address, length: IPv6Network((address, length), strict=False),
    unicast6,
    st.integers(32, 127),
)
prefixes = prefixes4 | prefixes6
names = st.from_regex(r"[A-Za-z0-9_.:/\[\]-]{1,20}", fullmatch=True)
as_numbers = st.integers(1, 2**32 - 1)

seconds = st.integers(0, 86_400).map(float)
shares = st.integers(0, 100).map(lambda percent: percent / 100)

endpoints = st.builds(
    Endpoint,
    address=unicast,
    weight=st.integers(0, 256),
    state=st.sampled_from(OperatorState),
    drain_timeout_s=st.none() | seconds,
    health=st.sampled_from([None, "none"]),
)
checks = (
    st.builds(
        HealthCheck,
        kind=st.just(ProbeKind.TCP),
        path=st.sampled_from(ProbePath),
        interval_s=st.sampled_from([0.25, 2.0, 60.0]),
        timeout_s=st.sampled_from([0.1, 1.0]),
        rise=st.integers(1, 100),
        fall=st.integers(1, 100),
        port=st.integers(1, 65_535),
        full_size=st.booleans(),
    )
    | st.builds(
        HealthCheck,
        kind=st.just(ProbeKind.SCTP),
        port=st.integers(1, 65_535),
    )
    | st.builds(
        HealthCheck,
        kind=st.just(ProbeKind.UDP),
        port=st.integers(1, 65_535),
        request=st.sampled_from(["", "ping", "hex:00ff"]),
        response=st.sampled_from(["", "pong", "hex:"]),
    )
)
endpoint_lists = st.lists(
    endpoints, min_size=1, max_size=4, unique_by=lambda endpoint: endpoint.address
).map(tuple)
dscps: st.SearchStrategy[int | str] = st.just("copy") | st.integers(0, 63)
with_header = st.sampled_from([Encapsulation.IPIP, Encapsulation.GUE])
pools = st.builds(
    Pool,
    endpoints=endpoint_lists,
    slots=st.sampled_from(_PRIMES),
    encapsulation=with_header,
    dscp=dscps,
    health=checks | st.just("none"),
    fail_open_above=shares,
    unknown=st.sampled_from(WhenUnknown),
)
keys = st.builds(
    ServiceKey,
    vip=unicast | prefixes,
    protocol=st.sampled_from(Protocol),
    port=st.integers(0, 65_535),
)
passwords = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=80)
families = st.lists(st.sampled_from(Family), min_size=1, unique=True).map(tuple)


def peers_of(addresses: st.SearchStrategy[IPAddress]) -> st.SearchStrategy[Peer]:
    """Peers of one address family."""
    return st.builds(
        Peer,
        address=addresses,
        as_number=as_numbers,
        port=st.integers(1, 65_535),
        local_address=st.none() | addresses,
        hold_time_s=st.integers(3, 65_535),
        password=st.none() | passwords,
        multihop=st.none() | st.integers(2, 255),
        gtsm=st.booleans(),
        families=st.none() | families,
        bfd=st.none() | st.just(value=False),
    )


peers = peers_of(unicast4) | peers_of(unicast6)
tunnels = st.builds(TunnelEntry, endpoint=unicast, local=unicast4, remote=unicast4) | st.builds(
    TunnelEntry, endpoint=unicast, local=unicast6, remote=unicast6
)
nodes = st.builds(
    Node,
    name=st.none() | names,
    interfaces=st.none() | st.lists(st.text(max_size=5), min_size=1, max_size=3).map(tuple),
    source=st.none() | unicast4 | unicast4.map(lambda a: IPv4Network((a, 16), strict=False)),
    source6=st.none() | unicast6 | unicast6.map(lambda a: IPv6Network((a, 112), strict=False)),
    gue_port=st.integers(1, 65_535),
    answers_per_s=st.integers(0, 10_000),
    drain=st.booleans(),
    drain_wait_s=seconds,
    tunnels=st.lists(tunnels, max_size=3, unique_by=lambda entry: entry.endpoint).map(tuple),
)
metrics = st.integers(0, 2**32 - 1)
communities = st.lists(st.sampled_from(["65535:0", "64512:1:2"]), max_size=2).map(tuple)
_matches = st.sampled_from([Matching.ANY, Matching.INVERT]).map(
    lambda match: SetMatch(name="s", match=match)
)
_patterns = ["65535:0", "64512:*", "*:1:2", "64512:1:2"]
statements = st.builds(
    Statement,
    name=st.none() | names,
    conditions=st.builds(
        Conditions,
        prefixes=st.none() | _matches,
        peers=st.none() | _matches,
        communities=st.lists(
            st.sampled_from(Matching).map(lambda match: SetMatch(name="s", match=match)), max_size=1
        ).map(tuple),
        families=st.sampled_from([(), (Family.IPV4,), tuple(Family)]),
    ),
    actions=st.builds(
        Actions,
        result=st.none() | st.sampled_from(RouteResult),
        med=st.none() | metrics | st.sampled_from(["+50", "-50", "-4294967295"]),
        local_pref=st.none() | metrics,
        next_hop=st.none() | st.just("self") | unicast,
        prepend=st.integers(0, 2),
        communities=st.builds(
            CommunityActions,
            remove=st.lists(st.sampled_from(_patterns), max_size=2).map(tuple),
            add=communities,
        ),
    ),
)
policies = st.dictionaries(
    st.sampled_from(["a", "b"]), st.lists(statements, max_size=3).map(tuple), max_size=2
)


def _ranges(prefix: IPNetwork) -> st.SearchStrategy[PrefixRange]:
    lengths = st.integers(prefix.prefixlen, prefix.max_prefixlen)
    return st.tuples(st.none() | lengths, st.none() | lengths).map(
        lambda both: PrefixRange(
            prefix=prefix,
            ge=both[0] if None in both else min(filter(None, both)),
            le=both[1] if None in both else max(filter(None, both)),
        )
    )


prefix_sets = st.lists(prefixes.flatmap(_ranges), min_size=1, max_size=3).map(tuple)


@st.composite
def bgps_with_policies(draw: st.DrawFn) -> Bgp:
    """A section whose peers hear by policies."""
    bgp = draw(bgps)
    chosen = draw(policies)
    raw = bgp.model_dump(by_alias=True) | {
        "policies": chosen,
        "prefix_sets": {"s": draw(prefix_sets)},
        "peer_sets": {"s": draw(st.lists(prefixes, min_size=1, max_size=2).map(tuple))},
        "community_sets": {"s": draw(st.sampled_from([("64512:*",), ("*:1:2", "65535:0")]))},
        "peers": [
            peer.model_dump(by_alias=True)
            | {
                "export": draw(st.permutations(sorted(chosen))),
                "export_default": draw(st.sampled_from(RouteResult)),
            }
            for peer in bgp.peers
        ],
    }
    return Bgp.model_validate(raw)


bgps = st.builds(
    Bgp,
    as_number=as_numbers,
    router_id=unicast4,
    role=st.sampled_from(Role),
    med=st.none() | metrics,
    communities=communities,
    prepend=st.integers(0, 16),
    local_pref=st.none() | metrics,
    next_hop=st.just("self") | unicast,
    aggregate=st.lists(prefixes, max_size=2, unique=True).map(tuple),
    keep_announced_s=st.integers(0, 86_400),
    withdraw_drain_s=st.integers(0, 86_400),
    bfd=st.none() | st.builds(Bfd, multiplier=st.integers(1, 255)),
    graceful_restart_s=st.none() | st.integers(1, 4095),
    peers=st.lists(peers, min_size=1, max_size=2, unique_by=lambda peer: peer.address).map(tuple),
)


@st.composite
def services(draw: st.DrawFn, key: ServiceKey, pool_names: list[str]) -> Service:
    """A service with this key, of one of these pools or with endpoints of its own."""
    pool = draw(st.none() | st.sampled_from(pool_names)) if pool_names else None
    is_own, is_udp = pool is None, key.protocol is Protocol.UDP
    clients = prefixes6 if key.vip.version == 6 else prefixes4
    tables = [FlowTable.UNSTABLE, FlowTable.NEVER, *([FlowTable.ALWAYS] if is_udp else [])]
    service = Service(
        name=draw(st.none() | names),
        vip=key.vip,
        protocol=key.protocol,
        port=key.port or "any",
        pool=pool,
        endpoints=draw(endpoint_lists) if is_own else None,
        encapsulation=draw(st.none() | with_header) if is_own else None,
        dscp=draw(st.none() | dscps) if is_own else None,
        health=draw(st.none() | checks) if is_own else None,
        fail_open_above=draw(st.none() | shares) if is_own else None,
        unknown=draw(st.none() | st.sampled_from(WhenUnknown)) if is_own else None,
        affinity=draw(st.sampled_from(Affinity)),
        flow_table=draw(st.sampled_from(tables)),
        quic=draw(st.booleans()) if is_udp else False,
        unserved=Unserved.PASS if key.vip.version == 6 else Unserved.DROP,
        announce=draw(st.booleans()),
        min_healthy=draw(st.sampled_from([1, "1%", "50%", "100%"])),
        med=100,
        communities=("65000:1", "4200000000:1:2") if key.vip.version == 6 else None,
    )
    sources = draw(st.lists(clients, max_size=3, unique=True))
    return service.model_copy(update={"sources": tuple(sources)})


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A document without a problem."""
    chosen = draw(st.lists(keys, max_size=4, unique=True))
    taken = {str(key) for key in chosen}
    named_pools = draw(
        st.dictionaries(names.filter(lambda name: name not in taken), pools, max_size=3)
    )
    return Document(
        services=tuple(draw(services(key, sorted(named_pools))) for key in chosen),
        pools=named_pools,
        health=draw(st.dictionaries(names.filter(lambda name: name != "none"), checks, max_size=2)),
        bgp=draw(st.none() | bgps | bgps_with_policies()),
        node=draw(nodes),
        cluster=Cluster(
            hash_seed=draw(st.integers(0, 2**64 - 1)),
            transition_idle_s=draw(st.integers(1, 86_400)),
            udp_idle_s=draw(st.integers(1, 86_400)),
        ),
    )
