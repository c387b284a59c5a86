"""Build trees: their contents, their identity, where they are kept, and how they get onto nodes."""
