"""refreeze finds a UDP path between two machines behind NATs with ICE, and keeps it."""

__version__ = "0.1.0"

__all__ = ["__version__"]
