"""MongoDB: the connection, the pipeline's stores, and the step that deletes documents."""
