"""Build trees: what is in them, their identity, where they are kept, and how they get onto nodes."""
