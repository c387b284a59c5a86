"""Where the configuration is looked for. Light to import: the MCP server looks there before it reads any of it."""

import os
from pathlib import Path

from platformdirs import user_config_path

CONFIG_VARIABLE = "VMCLUSTER_CONFIG"
DEFAULT_CONFIG_PATH = Path("/etc/vmcluster/config.yaml")


def configuration_paths() -> tuple[Path, ...]:
    """The files that this process may read its configuration from, whether they exist or not."""
    chosen = os.environ.get(CONFIG_VARIABLE)
    return (*([Path(chosen)] if chosen else []), DEFAULT_CONFIG_PATH, user_path())


def user_path() -> Path:
    """The configuration file of this process's user."""
    return user_config_path("vmcluster") / "config.yaml"
