"""A simulated kill of the process under test."""


class Killed(BaseException):
    """The process dies here: no code can catch it, and nothing is cleaned up."""
