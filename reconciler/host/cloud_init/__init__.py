"""NoCloud seeds: what a guest is told at boot, as text and as the disk that carries it."""
