"""Disk files: the qcow2 header as data, and the layers that we create, observe and delete."""
