"""Parses what guests said, away from the event loop. `calls` makes the request, `child` is the process that answers."""
