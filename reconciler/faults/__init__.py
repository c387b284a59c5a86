"""Faults: their shapes, their checks, how they combine, and the links they compile to. Pure."""
