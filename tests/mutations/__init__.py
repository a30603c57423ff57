"""Would a test fail if a guard were broken? `make mutations` breaks each in turn.

Each mutation breaks one guard in a copy of the code, and the suites that should notice run there.
A mutation that no suite notices is a guarantee that nothing proves.
"""
