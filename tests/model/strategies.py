"""Documents for tests: valid ones by hypothesis, and what is wrong with others."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import strategies as st

from headrace.model import (
    Affinity,
    Bgp,
    Cluster,
    ConfigError,
    Document,
    Encapsulation,
    Endpoint,
    FlowTable,
    IPAddress,
    IPNetwork,
    Node,
    OperatorState,
    Peer,
    Pool,
    Protocol,
    Service,
    ServiceKey,
    TunnelEntry,
    Unserved,
    parse_document,
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

endpoints = st.builds(
    Endpoint,
    address=unicast,
    weight=st.integers(0, 256),
    state=st.sampled_from(OperatorState),
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
)
keys = st.builds(
    ServiceKey,
    vip=unicast | prefixes,
    protocol=st.sampled_from(Protocol),
    port=st.integers(0, 65_535),
)
peers = st.builds(
    Peer,
    address=unicast,
    as_number=as_numbers,
    port=st.integers(1, 65_535),
    local_address=st.none() | unicast,
    hold_time_s=st.integers(3, 65_535),
    password=st.none() | st.text(st.characters(codec="utf-8"), max_size=80),
    multihop=st.none() | st.integers(2, 255),
)
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
    tunnels=st.lists(tunnels, max_size=3, unique_by=lambda entry: entry.endpoint).map(tuple),
)
bgps = st.builds(
    Bgp,
    as_number=as_numbers,
    router_id=unicast4,
    peers=st.lists(peers, min_size=1, max_size=2).map(tuple),
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
        affinity=draw(st.sampled_from(Affinity)),
        flow_table=draw(st.sampled_from(tables)),
        quic=draw(st.booleans()) if is_udp else False,
        unserved=Unserved.PASS if key.vip.version == 6 else Unserved.DROP,
        announce=draw(st.booleans()),
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
        bgp=draw(st.none() | bgps),
        node=draw(nodes),
        cluster=Cluster(
            hash_seed=draw(st.integers(0, 2**64 - 1)),
            transition_idle_s=draw(st.integers(1, 86_400)),
            udp_idle_s=draw(st.integers(1, 86_400)),
        ),
    )
