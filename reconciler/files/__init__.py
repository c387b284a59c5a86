"""File handling: files that are written whole or not at all, synced, locked, with space left. Knows no clusters."""
