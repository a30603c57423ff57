"""Parts that tests in several folders share."""
