"""Proofs of what is promised about routes: each figure is measured and held against its bound."""

from headrace.lab.proofs.run import prove_announce

__all__ = ["prove_announce"]
