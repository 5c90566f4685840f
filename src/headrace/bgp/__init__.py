"""Announcements in, session events out: the BGP speakers.

Knows nothing of services or health. ExaBGP is the speaker that comes with Headrace; it runs as a
process of its own that outlives the daemon, with a relay between the two.
"""

from headrace.bgp.orphan import end_orphan
from headrace.bgp.speaker import ExabgpSpeaker

__all__ = ["ExabgpSpeaker", "end_orphan"]
