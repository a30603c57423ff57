"""A model of one bot's jobs: every interleaving within small bounds, over the rules of the code."""
