"""Fuzzing of the parsers: mutation that knows the grammar, led by the lines that it reaches.

``python -m tests.fuzz TARGET`` runs one target for REFREEZE_FUZZ_SECONDS and says how to have the
same run again; with ``--keep`` the inputs that reached something new go to ``corpus/TARGET``.
The tests here run every target for a moment, and once with each kept input.
"""
