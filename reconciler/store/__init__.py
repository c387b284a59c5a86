"""Storage of desired-state records."""
