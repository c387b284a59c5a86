"""How nodes are: whether they take logins, whether their kernels and cloud-init are well."""
