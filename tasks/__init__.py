"""HANDS: what we can touch. One file for each outside system; `read_*` only looks, `apply` changes one thing.

`turn.py` is the exception: it is no system, but the frame in which every run looks, acts and tells.
"""
