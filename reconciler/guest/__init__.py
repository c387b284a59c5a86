"""The guests over SSH: connections, commands, keys. Reads and runs; decides nothing."""
