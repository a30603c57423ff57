"""External HTTP APIs: the step that calls one, and how a plan file describes it."""
