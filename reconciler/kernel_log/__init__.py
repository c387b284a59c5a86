"""What a kernel said: its records, its console, and what they mean. Pure."""
