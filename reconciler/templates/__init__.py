"""Templates: machines that have booted once without an identity, from which nodes start without booting."""
