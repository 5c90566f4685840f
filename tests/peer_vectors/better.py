"""Where the design does better than a case asks: by id, with the reason."""

_OPTIONS = "IPv4 options are walked; the packet is served, or left to the kernel as others like it"
_FRAGMENTS = "fragments are served: the first one's ports are remembered for those after it"
_UNSERVED = (
    "the VIP leaves what no service is for to the kernel, whole or in fragments; by default it "
    "would be dropped"
)
_TOLD = "the client is told which size fits, instead of losing the packet in silence"
_ONCE = (
    "a packet is balanced once: a tunnel addressed to an endpoint ends there, one addressed to "
    "anybody else passes untouched"
)
_TTL = (
    "an endpoint takes the outer header off and leaves the packet to its kernel, unchanged: the "
    "tunnel is one hop for the client's packet, and a TTL that has run out is the kernel's to judge"
)
_STRICT = "strict: only tunnels addressed to the endpoint itself are taken apart"

BETTER: dict[str, str] = {
    "base_ipip-12": _OPTIONS,
    "gue-10": _OPTIONS,
    "hist_base_ipip-02": _OPTIONS,
    "derived-06": _OPTIONS,
    "base_ipip-14": _UNSERVED,
    "gue-12": _UNSERVED,
    "derived-03": _UNSERVED,
    "derived-04": _UNSERVED,
    "hist_base_ipip-03": _FRAGMENTS,
    "derived-01": _FRAGMENTS,
    "derived-02": _FRAGMENTS,
    "base_ipip-33": _TOLD,
    "xpop_decap-01": _ONCE,
    "xpop_decap-02": _ONCE,
    "xpop_decap-03": _ONCE,
    "hist_optional_ipip-11": _ONCE,
    "hist_optional_ipip-12": _ONCE,
    "xpop_decap-04": _TTL,
    "xpop_decap-05": _TTL,
    "egress_decap-03": _TTL,
    "hist_optional_ipip-13": _TTL,
    "hist_optional_ipip-14": _TTL,
    "hist_optional_ipip-15": _STRICT,
    "hist_optional_ipip-16": _STRICT,
}
