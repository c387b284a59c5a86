"""Where desired-state records live."""
