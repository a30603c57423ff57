"""Shows where requests and jobs stand: an HTTP API, and web pages."""
