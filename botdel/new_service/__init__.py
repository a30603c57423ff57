"""`botdel new-service`: a service of one's own to begin with."""
