"""Everything on one machine: emulator, embedded MongoDB, sample services."""
