"""Access to guests over SSH: connections, commands, keys. It reads and runs; it decides nothing."""
