"""Finds what failed or went silent, and asks for its resumption."""
