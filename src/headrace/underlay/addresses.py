"""The addresses of this network namespace."""

from contextlib import closing

from pyroute2.netlink import rtnl

from headrace.model import IPAddress
from headrace.underlay.netlink import RequestSocket
from headrace.underlay.wire import decode_own_address, encode_address_dump


def read_addresses() -> list[IPAddress]:
    """Every address of every interface, each once. Blocks: call it in a thread.

    Raises KernelError when the kernel refuses.
    """
    with closing(RequestSocket()) as asked:
        messages = asked.dump("read addresses", rtnl.RTM_GETADDR, encode_address_dump())
    found = {decode_own_address(message.body) for message in messages}
    return sorted((address for address in found if address is not None), key=str)
