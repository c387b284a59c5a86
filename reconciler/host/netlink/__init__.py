"""What the kernel tells by netlink: interfaces, their queues, and nftables, as soon as somebody changes them."""
