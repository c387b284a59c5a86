"""Attacks on the system: by guests, by clients and through disks. What they try costs one clear error."""

import os

ROUNDS = int(os.environ.get("HOSTILE_ROUNDS", "300"))
"""How many inputs each fuzzer makes; 100000 for the long form."""
