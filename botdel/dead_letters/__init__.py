"""`botdel dead-letters`: lists, shows, replays and discards dead letters."""
