"""Documents for tests: valid ones by hypothesis, and what is wrong with others."""

from ipaddress import IPv4Address

import pytest
from hypothesis import strategies as st

from headrace.model import (
    Bgp,
    Cluster,
    ConfigError,
    Document,
    Endpoint,
    IPAddress,
    Node,
    OperatorState,
    Peer,
    Pool,
    Protocol,
    Service,
    ServiceKey,
    TunnelEntry,
    parse_document,
)

SERVICE = "{vip: 20.20.20.1, protocol: tcp, port: 8080, endpoints: [{address: 56.56.56.1}]}"


def problems_of(text: str) -> list[str]:
    """What is wrong with a document, each problem on a line."""
    with pytest.raises(ConfigError) as caught:
        parse_document(text)
    return [str(problem) for problem in caught.value.problems]


_PRIMES = [251, 65_537, 655_373]

unicast: st.SearchStrategy[IPAddress] = st.integers(0x0A000000, 0x0AFFFFFF).map(IPv4Address)
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
pools = st.builds(Pool, endpoints=endpoint_lists, slots=st.sampled_from(_PRIMES))
keys = st.builds(
    ServiceKey,
    vip=unicast,
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
tunnels = st.builds(TunnelEntry, endpoint=unicast, local=unicast, remote=unicast)
nodes = st.builds(
    Node,
    name=st.none() | names,
    interfaces=st.none() | st.lists(st.text(max_size=5), min_size=1, max_size=3).map(tuple),
    source=st.none() | unicast,
    tunnels=st.lists(tunnels, max_size=3, unique_by=lambda entry: entry.endpoint).map(tuple),
)
bgps = st.builds(
    Bgp,
    as_number=as_numbers,
    router_id=unicast,
    peers=st.lists(peers, min_size=1, max_size=2).map(tuple),
)


@st.composite
def services(draw: st.DrawFn, key: ServiceKey, pool_names: list[str]) -> Service:
    """A service with this key, of one of these pools or with endpoints of its own."""
    pool = draw(st.none() | st.sampled_from(pool_names)) if pool_names else None
    return Service(
        name=draw(st.none() | names),
        vip=key.vip,
        protocol=key.protocol,
        port=key.port or "any",
        pool=pool,
        endpoints=draw(endpoint_lists) if pool is None else None,
        announce=draw(st.booleans()),
    )


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
        cluster=Cluster(hash_seed=draw(st.integers(0, 2**64 - 1))),
    )
