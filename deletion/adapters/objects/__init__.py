"""Objects in a bucket, or files below a folder."""
