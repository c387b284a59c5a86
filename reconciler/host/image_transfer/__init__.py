"""How hosts that share a store hand each other disk images."""
