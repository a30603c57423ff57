"""`botdel doctor`: checks an installation, and that failed messages are found. Repairs nothing."""
