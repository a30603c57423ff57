"""The command line: one composition for each process."""
