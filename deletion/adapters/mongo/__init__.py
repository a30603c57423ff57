"""MongoDB: the connection, and what is kept there."""
