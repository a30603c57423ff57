"""`botdel dead-letters`: lists, shows, replays and discards messages that were given up."""
