"""Netlink: what the kernel reports about interfaces, their queues and nftables, when asked and when they change."""
