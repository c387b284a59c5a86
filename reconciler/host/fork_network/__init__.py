"""The host in the networks of forks, which have the subnet of the cluster that they were made from."""
