"""Makes failed and stale jobs pending again, and records dead letters from Pub/Sub."""
