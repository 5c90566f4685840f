"""Every limit of the product, each with its reason. The C side reads the same numbers.

`dataplane/bpf/limits.h` holds those the data plane compiles in; a test compares the two.
"""

LIMIT_ENDPOINTS_PER_NODE = 16_384
"""A slot of the lookup table names an endpoint in 14 bits."""

LIMIT_ENDPOINTS_PER_DOCUMENT = 65_535
"""Four nodes' worth; a document beyond it is a mistake rather than a site."""

LIMIT_SERVICES = 4_096
"""Keeps the services map, 4,096 buckets, in the L2 cache."""

LIMIT_VIP_PREFIXES = 1_024
"""VIPs that are prefixes: a node serves a few, and each packet to none of them walks their trie."""

LIMIT_SOURCES = 16_384
"""Allowed source prefixes of all services together: each takes some 100 bytes once it is used."""

LIMIT_SERVER_IDS = 16_384
"""QUIC server ids: one for each endpoint that a node can have."""

LIMIT_NOTES = 65_536
"""Flows remembered one by one: only those of unstable slots and of UDP that asks for it; 4 MB."""

LIMIT_FRAGMENTS = 8_192
"""Packets in fragments whose ports are remembered: 30 s of a rate that is already unusual."""

LIMIT_FRAGMENT_S = 30
"""A receiver waits as long for the rest of a packet (Linux: ipfrag_time; RFC 8200 says 60)."""

LIMIT_EXTENSION_HEADERS = 4
"""Clients send one or two; each one more is unrolled into the program once more."""

LIMIT_ANSWERS_PER_S = 1_000_000
"""Answers of the data plane a second: more is a mistake, and no limit."""

LIMIT_PROBE_INTERVAL_S = 3_600
"""Longest time between two probes or that one may take: what is asked less often is not watched."""

LIMIT_PROBE_STREAK = 100
"""Results in a row before one is believed."""

LIMIT_PROBE_BYTES = 1_024
"""What a probe sends or looks for: it fits one packet."""

LIMIT_PROBES_PER_S = 10_000
"""Of one node: 4,000 take some 60 % of a core."""

LIMIT_PROBES = 65_536
"""Targets of one node, an endpoint at a VIP and port: four for each endpoint that it can have."""

LIMIT_HEALTH_CHECKS = 1_024
"""Named ways to check: as many as pools."""

LIMIT_COMMUNITIES = 32
"""Communities of one route; routers print no more on a line."""

LIMIT_PREPEND = 16
"""How often the own AS is put in front: a path longer than that loses anywhere."""

LIMIT_HOLD_DOWN_S = 86_400
"""Longest time that a VIP stays withdrawn, or a node announces while it drains: a day."""

LIMIT_IDLE_S = 7 * 86_400
"""Longest idle time: a flow that is silent for a week is over."""

LIMIT_POOLS = 1_024
"""1,024 lookup tables of 65,537 slots are 268 MB."""

LIMIT_NEXT_HOPS = 1_024
"""Neighbours a node forwards to; a node rarely has more than a few routers or racks."""

LIMIT_PORTS = 256
"""Interfaces a node attaches to; the ports map is indexed by the low bits of an ifindex."""

LIMIT_PEERS = 64
"""BGP sessions of one node."""

LIMIT_PASSWORD_BYTES = 80
"""The kernel keeps no more of a TCP MD5 key (TCP_MD5SIG_MAXKEYLEN)."""

LIMIT_AGGREGATES = 1_024
"""Announced prefixes that hold VIPs: as many as VIPs may be prefixes."""

LIMIT_POLICIES = 64
"""Export policies of one node: one for each peer that it can have."""

LIMIT_STATEMENTS = 64
"""Statements of one export policy: each may be asked about every prefix."""

LIMIT_SETS = 256
"""Sets of each kind that export policies name."""

LIMIT_SET_ENTRIES = 1_024
"""Entries of one set: a prefix for each service that it may tell from others."""

LIMIT_EXPORTS = 16
"""Different ways in which peers hear the routes: each is a set of its own that the relay keeps."""

LIMIT_KEEP_ANNOUNCED_S = 86_400
"""Longest time that announcements outlive the daemon, as they are and then as a drained node's: for
a day each, nobody looks at the endpoints."""

LIMIT_WEIGHT = 256
"""Largest weight; with at least 100 slots an endpoint a finer ratio has no effect."""

LIMIT_NAME_BYTES = 63
"""Length of a name of a pool or node: one DNS label; the data plane keeps a pool's name."""

LIMIT_SERVICE_NAME_BYTES = 160
"""Kubernetes agents name a service namespace_service:instance: two DNS labels and an instance."""

SLOT_COUNT_DEFAULT = 65_537
"""Prime; at 100 endpoints the most loaded one is 0.1 % above the mean."""

SLOT_COUNT_MIN = 251
"""Below it a table cannot even spread ten endpoints within ten percent."""

SLOT_COUNT_MAX = 1_048_573
"""Largest prime below 2^20: one table of 4 MB, the L2 cache of a large core."""

LIMIT_DOCUMENT_BYTES = 16 * 1024 * 1024
"""A document of 65,535 endpoints is about 4 MB; more is refused before it is parsed."""

LIMIT_PROBLEMS = 1_000
"""Problems told of one document; nobody reads more, and each costs memory in the answer."""
