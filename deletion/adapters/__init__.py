"""What is behind the ports: MongoDB, Pub/Sub, the webhook of alerts, and plan files."""
