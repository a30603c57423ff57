"""Events in, jobs recorded and run."""
