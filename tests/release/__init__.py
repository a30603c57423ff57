"""What a release consists of, and whether one may be made."""
