"""What every process shares: serving, signals, probes, problems, tokens, logs, settings."""
