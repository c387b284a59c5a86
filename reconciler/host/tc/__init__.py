"""Impairments of the traffic that taps deliver to their nodes."""
