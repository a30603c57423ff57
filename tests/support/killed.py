"""What a kill is to code under test."""


class Killed(BaseException):
    """The process dies here: nothing that could be caught, and nothing is cleaned up."""
