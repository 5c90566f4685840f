"""Announcements in, session events out: the BGP speakers.

Knows nothing of services or health. ExaBGP is the speaker that comes with Headrace, BIRD the one
that does BFD as well; either runs as a process of its own that outlives the daemon, with a relay
between the two.
"""

from headrace.bgp.orphan import end_orphan
from headrace.bgp.speaker import BgpSpeaker

__all__ = ["BgpSpeaker", "end_orphan"]
