"""Observation: from the host to a cluster document. Reads, and decides nothing."""
