"""Impairments of what taps pass on to their nodes."""
