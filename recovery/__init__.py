"""Makes failed and stale jobs pending again, and records what Pub/Sub gave up."""
