"""Gauges of a service's load, read over HTTP."""
