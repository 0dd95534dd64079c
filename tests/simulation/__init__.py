"""Whole daemons in virtual time: random faults, large scenes, and the promised figures."""
