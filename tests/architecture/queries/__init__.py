"""Every query of the adapters walks an index.

The tests call every method of each adapter, and `tests/support/measured.py` measures the commands
that the driver sends.
"""
