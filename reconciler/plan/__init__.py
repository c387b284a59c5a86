"""Planning: from a desired and an observed document to ordered actions. Pure: no I/O, no clock, no randomness."""
