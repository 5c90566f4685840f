"""How a route is made one that routers use only where they have no other."""

from dataclasses import replace

from headrace.model.values import Announcement

GRACEFUL_SHUTDOWN = "65535:0"
"""Asks routers to prefer any other route (RFC 8326, section 4)."""

LIMIT_MED = 2**32 - 1  # four bytes (RFC 4271, section 4.3)

WORSE_MED = 100
WORSE_PREPEND = 2
WORSE_LOCAL_PREF = 50
LOCAL_PREF = 100
"""What a standby node, or one that drains, is worse by; 100 is what routers take a route without
local preference for. Routers look at them in the order local preference, path, MED."""


def worse(announcement: Announcement) -> Announcement:
    """The same, so that routers take any other node that is not worse itself."""
    local_pref = LOCAL_PREF if announcement.local_pref is None else announcement.local_pref
    return replace(
        announcement,
        med=worse_med(announcement.med or 0, 1),
        prepend=announcement.prepend + WORSE_PREPEND,
        local_pref=worse_local_pref(local_pref, 1),
    )


def times_worse(communities: tuple[str, ...], *, is_standby: bool) -> int:
    """How often a route with these was made worse: on standby once, while draining once more."""
    return int(is_standby) + int(GRACEFUL_SHUTDOWN in communities)


def worse_med(med: int, times: int) -> int:
    """A MED that is given to what was made worse so often."""
    return min(med + times * WORSE_MED, LIMIT_MED)


def better_med(med: int | None, times: int) -> int | None:
    """The MED that was made worse so often; of one at the limit, the least it may have been."""
    return None if med is None else max(med - times * WORSE_MED, 0)


def worse_local_pref(local_pref: int, times: int) -> int:
    """A local preference that is given to what was made worse so often."""
    return max(local_pref - times * WORSE_LOCAL_PREF, 0)


def leaving(announcement: Announcement) -> Announcement:
    """The same from a node that drains."""
    rest = tuple(each for each in announcement.communities if each != GRACEFUL_SHUTDOWN)
    return replace(worse(announcement), communities=(GRACEFUL_SHUTDOWN, *rest))
