"""Proofs: which exact method fits a problem."""

from __future__ import annotations

def proof(traffic, machine, layout, board, many, seed):
    return None
