"""Pure data: what the whole program speaks about."""
