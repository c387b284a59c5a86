"""All links of a cluster on one host: the firewall, the queues of the taps and the taps themselves."""
