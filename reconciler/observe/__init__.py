"""Observation: from the host to a cluster document. Only reads; it decides nothing."""
