"""Cuts between taps in the host's firewall."""
