"""The relay: the process between a BGP speaker and the daemon, which outlives the daemon.

It holds the whole set of announcements and sees to it that every peer hears it. While the daemon
is away it keeps the set for a stated time, because the pinned data plane still forwards, then
announces it as a drained node's for another, then withdraws everything.

ExaBGP starts it as its API process; before BIRD it is the parent. Nothing of Headrace and nothing
slow is imported, so that it starts in milliseconds (`python -I -S relay/__main__.py ...`).
"""
