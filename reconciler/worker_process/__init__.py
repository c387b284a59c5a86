"""Parses what guests said, away from the event loop. `work` makes the request, `child` is the process that answers."""
