"""HTTP in, events out. It owns no data."""
