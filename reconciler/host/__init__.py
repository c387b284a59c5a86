"""The host: for each kind of resource on it, a pure codec and a driver that acts."""
