"""Ports, the mux that shares them, the one scheduler, and local addresses."""
