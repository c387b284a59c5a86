"""Topology file -> validated, resolved specification of a cluster. Nothing here changes the host."""
