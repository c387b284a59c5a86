"""Threads for calls that may never return: the process can end without waiting for them."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Job = Callable[[], None]


class DaemonThreads:
    """A pool of at most `most` threads; a new one is started only if all others are busy.

    Unlike with `ThreadPoolExecutor`, nothing waits for them when the interpreter ends.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._ended = False
        self._idle = threading.Semaphore(0)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have one of the threads call `fn`. If the future is cancelled first, `fn` is not called."""
        if self._ended:
            raise RuntimeError("these threads were told to end")
        future: Future[T] = Future()
        self._jobs.put(lambda: _answer(future, lambda: fn(*args, **kwargs)))
        self._ensure_thread()
        return future

    def shutdown(self) -> None:
        """Let idle threads, and busy ones once they return, end; waits for none."""
        self._ended = True
        for _ in self._threads:
            self._jobs.put(None)

    def _ensure_thread(self) -> None:
        if self._idle.acquire(blocking=False):
            return
        with self._starting:
            if len(self._threads) < self._most:
                thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            self._idle.release()


def _answer(future: "Future[Any]", call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)
