"""The controller, the only part that changes the host: it compares the desired with the observed state, and acts."""
