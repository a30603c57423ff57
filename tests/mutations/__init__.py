"""Do the suites find what they are there to find? `make mutations` breaks guards and looks.

Each mutation breaks one guard of the life cycle in a copy of the code, and the suites run over it.
A mutation that no suite notices is a guarantee that nothing proves.
"""
