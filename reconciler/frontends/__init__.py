"""The front ends, for people and programs: each parses, calls a use case, and formats the answer."""
