"""What an operator does to records: retry jobs, replay and discard dead letters.

It reads no options and prints nothing, so that not only the command line can act through it.
"""
