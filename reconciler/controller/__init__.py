"""The controller: the only part that changes the host. It compares what is wanted with what is there, and acts."""
