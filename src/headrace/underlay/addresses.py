"""The addresses of this network namespace."""

from ipaddress import ip_address

from pyroute2 import IPRoute

from headrace.model import IPAddress


def read_addresses() -> list[IPAddress]:
    """Every address of every interface, each once. Blocks: call it in a thread."""
    with IPRoute() as netlink:
        found = (message.get_attr("IFA_ADDRESS") for message in netlink.get_addr())
        return sorted({ip_address(text) for text in found if text}, key=str)
