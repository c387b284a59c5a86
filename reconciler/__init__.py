"""vmcluster: a declarative reconciler for clusters of virtual machines on libvirt and QEMU."""

__version__ = "0.2.0"
