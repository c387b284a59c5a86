"""The health of nodes: whether they accept logins, and whether their kernels and cloud-init are healthy."""
