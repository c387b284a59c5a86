"""`python -m tests.soak [--seconds S] [--seed N]`: a soak, in the lab; the seed that it prints repeats it."""

import argparse
import asyncio
import secrets
import sys

import structlog

from tests.integration.bed import sweep, temporary_bed
from tests.soak.run import SoakFailed, soak


def main() -> int:
    """Run the soak; the exit code is 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # of the clients; the service has its log
    print(f"soak: seed {options.seed}, {options.seconds:g} s", flush=True)
    with temporary_bed() as bed:
        try:
            soaked = asyncio.run(
                soak(bed, seed=options.seed, duration_s=options.seconds, say=lambda text: print(text, flush=True))
            )
        except SoakFailed as failure:
            print(f"soak: FAILED, {failure}\nagain: make soak SEED={options.seed}", flush=True)
            return 1
        finally:
            sweep()
    print(
        f"soak: {soaked.steps} steps, {soaked.done} operations done, {soaked.refused} refused, "
        f"{soaked.intruders_refused} intruders refused, nothing amiss"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
