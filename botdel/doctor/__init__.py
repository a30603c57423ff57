"""`botdel doctor`: whether a message that goes wrong would be found. It repairs nothing."""
