"""Attacks on the system: by guests, by clients and through disks. What they try costs one clear error."""

import os

ROUNDS = int(os.environ.get("HOSTILE_ROUNDS", "150"))
"""How many inputs each fuzzer makes beside the unit tests; `make hostile` has the long form, of 20,000."""
SEED = os.environ.get("HOSTILE_SEED", "1")
"""What decides which inputs these are."""
