"""The use cases: the only thing that front ends call."""
