"""Pure data: the types that the whole program works with."""
