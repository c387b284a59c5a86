"""Records as use cases read, change, preview and restore them."""
