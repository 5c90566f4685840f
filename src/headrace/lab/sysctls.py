"""Kernel settings of a lab's nodes, by what the node does."""

# Replies leave by another interface than the request came by, so no node may filter by the way
# back. Balancers and routers never tell a neighbour of a shorter way: the detour is the point.
SYSCTLS_ALL = (
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
)
SYSCTLS_ROUTER = (
    *SYSCTLS_ALL,
    ("net.ipv4.ip_forward", "1"),
    # Flows are spread by what their packets say (0x37: addresses, protocol, ports). Policy 1 would
    # take the hash that a packet brings along from the client's socket over a veth, which no real
    # cable carries and which TCP changes whenever it waits too long for an answer.
    ("net.ipv4.fib_multipath_hash_policy", "3"),
    ("net.ipv4.fib_multipath_hash_fields", "0x37"),
)
SYSCTLS_SOCKETS = (
    ("net.core.somaxconn", "65535"),
    ("net.ipv4.tcp_max_syn_backlog", "65535"),
    ("net.ipv4.ip_local_port_range", "16384 65535"),
)
SYSCTLS_CLIENT = (
    *SYSCTLS_SOCKETS,
    ("net.core.txrehash", "0"),  # since Linux 5.18; a flow keeps its hash, see above
)

SYSCTLS_IPV6 = (
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
    # An address serves at once, and nobody but the topology gives addresses or routes.
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
)
SYSCTLS_IPV6_ROUTER = (*SYSCTLS_IPV6, ("net.ipv6.conf.all.forwarding", "1"))
