"""Fetch what the guests' kernel modules are built with, unless it is there."""

import asyncio
import sys
from pathlib import Path

from reconciler.errors import ClusterError
from tests.guest_kernel.fetch import ensure_kit


def main() -> None:
    """`python -m tests.guest_kernel IMAGE_DIR`."""
    try:
        print(asyncio.run(ensure_kit(Path(sys.argv[1]).resolve())))
    except ClusterError as error:
        sys.exit(f"{error.message}\n{error.hint or ''}".strip())


if __name__ == "__main__":
    main()
