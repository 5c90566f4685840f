"""What XDP the drivers have, as the kernel's `netdev` family tells (Linux >= 6.3)."""

from enum import IntFlag

from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST, genlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket

_GET_DEVICES = 1


class XdpFeature(IntFlag):
    """What a driver's native XDP can (enum netdev_xdp_act), as far as it matters here."""

    BASIC = 1  # has native mode
    FRAGMENTS = 32  # takes packets of more than one buffer


class _Message(genlmsg):  # type: ignore[misc] # pyroute2 has no types
    prefix = "NETDEV_A_DEV_"
    nla_map = (
        ("NETDEV_A_DEV_UNSPEC", "none"),
        ("NETDEV_A_DEV_IFINDEX", "uint32"),
        ("NETDEV_A_DEV_PAD", "hex"),
        ("NETDEV_A_DEV_XDP_FEATURES", "uint64"),
    )


def read_xdp_features() -> dict[int, int]:
    """The features of each device by index; none where the kernel is too old to tell."""
    message = _Message()
    message["cmd"], message["version"] = _GET_DEVICES, 1
    with GenericNetlinkSocket() as netlink:
        try:
            netlink.bind("netdev", _Message)
            answers = netlink.nlm_request(
                message, msg_type=netlink.prid, msg_flags=NLM_F_REQUEST | NLM_F_DUMP
            )
            return {
                int(answer.get_attr("NETDEV_A_DEV_IFINDEX")): int(
                    answer.get_attr("NETDEV_A_DEV_XDP_FEATURES") or 0
                )
                for answer in answers
            }
        except NetlinkError:
            return {}
