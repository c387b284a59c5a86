"""`python -m reconciler.worker_process.child`: call a pickled function from standard input; answer on standard output.

It is a separate process so that nothing holds the caller's interpreter lock meanwhile, and its memory
returns to the host when it ends.
"""

import gc
import os
import pickle
import resource
import sys
from collections.abc import Generator

from reconciler.errors import ClusterError

CPU_LIMIT_S = 60
MEMORY_LIMIT_BYTES = 2 * 1024 * 1024 * 1024
_NICENESS = 5


def main() -> None:
    """Answer with each part of what the function returned, or with what it raised.

    A generator's values are sent one by one: a long answer in one piece would hold the reader's lock.
    """
    gc.disable()  # nothing becomes garbage before the end, and the collector would search after every line
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    work = pickle.load(sys.stdin.buffer)  # noqa: S301  of the process that has started this one
    try:
        answer = work()
        for part in answer if isinstance(answer, Generator) else (answer,):
            pickle.dump((True, part), sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
    except ClusterError as error:
        pickle.dump((False, error), sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    main()
