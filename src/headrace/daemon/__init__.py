"""The daemon of a load-balancer node: wiring, signals, one lock an instance."""

from headrace.daemon.settings import Settings

__all__ = ["Settings"]
