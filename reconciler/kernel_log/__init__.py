"""Kernel logs: records, consoles, and what they mean. Pure."""
