"""The host: a pure codec and a driver with effects for each kind of thing that stands on it."""
