"""libvirt: pure codecs between our documents and its XML, and the driver with all effects on it."""
