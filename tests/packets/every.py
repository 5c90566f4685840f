"""All the packet cases there are."""

from . import (
    cases_affinity,
    cases_encapsulation,
    cases_extension,
    cases_fragments,
    cases_icmp_echo,
    cases_icmp_errors,
    cases_ipv4,
    cases_ipv6,
    cases_jumbo,
    cases_link,
    cases_quic,
    cases_services,
    cases_sources,
    cases_too_big,
    cases_udp,
    cases_unstable,
)

CASES = [
    *cases_link.CASES,
    *cases_ipv4.CASES,
    *cases_ipv6.CASES,
    *cases_extension.CASES,
    *cases_fragments.CASES,
    *cases_icmp_echo.CASES,
    *cases_icmp_errors.CASES,
    *cases_too_big.CASES,
    *cases_encapsulation.CASES,
    *cases_services.CASES,
    *cases_sources.CASES,
    *cases_affinity.CASES,
    *cases_unstable.CASES,
    *cases_udp.CASES,
    *cases_quic.CASES,
    *cases_jumbo.CASES,
]
