"""Packet cases of the trade, run through the product: `make peer-vectors`.

The cases are not part of this project: VECTORS names the folder that holds them.
"""
