"""Care for files: whole or not at all, on disk, locked, with space left. Knows nothing of clusters."""
