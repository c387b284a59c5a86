"""libvirt: pure codecs between our documents and its XML, and the driver that has all effects on it."""
