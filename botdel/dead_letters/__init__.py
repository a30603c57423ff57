"""`botdel dead-letters`: what was given up, shown, explained, replayed or discarded."""
