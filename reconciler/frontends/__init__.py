"""What people and programs talk to: each front end parses, calls a use case, and formats the answer."""
