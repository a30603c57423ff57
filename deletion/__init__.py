"""The core: what a deletion is, how one runs, and the ports it needs."""

__version__ = "0.2.0"
