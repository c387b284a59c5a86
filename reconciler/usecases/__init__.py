"""The use cases: the only thing that front ends call. One class for each family of verbs."""
