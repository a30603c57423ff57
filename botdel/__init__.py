"""The `botdel` command line, which puts every process together."""
