"""HTTP in, events out. Owns no data."""
