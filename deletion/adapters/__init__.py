"""Adapters behind the ports: MongoDB, Pub/Sub, object storage, HTTP APIs, alerts and plan files."""
