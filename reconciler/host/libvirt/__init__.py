"""libvirt: pure codecs between our documents and its XML, and the drivers that act on it."""
