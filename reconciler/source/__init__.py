"""Files that people write: YAML read with positions, and every problem in them reported in plain words."""
