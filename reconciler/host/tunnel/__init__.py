"""The VXLAN port by which a cluster's bridge is joined with those on other hosts."""
