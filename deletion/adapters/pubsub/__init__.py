"""Pub/Sub: the connection, the topology, publishing and pulling."""
