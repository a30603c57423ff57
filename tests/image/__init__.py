"""The container image, built by the commands of its own Dockerfile, without Docker."""
