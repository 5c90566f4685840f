"""Headrace: a layer-4 load balancer for anycast services, with direct server return."""

__version__ = "0.1.0"
