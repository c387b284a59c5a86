"""What a browser is given of the use cases: the files that run in it, and the messages that they understand."""
