"""The world behind the ports: MongoDB, Pub/Sub, HTTP, the file system, the clock."""
