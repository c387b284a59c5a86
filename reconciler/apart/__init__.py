"""Understanding what guests said, away from the event loop. `work` asks, `child` is the process that answers."""
