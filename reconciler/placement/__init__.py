"""Which host a node is placed on, and why. Pure."""
