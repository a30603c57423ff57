"""Alerts by webhook, grouped."""
