"""`botdel new-service`: the first files of a new service."""
