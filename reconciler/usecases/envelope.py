"""The only place where an error becomes an answer."""

from types import TracebackType
from typing import Generic, Self, TypeVar

import structlog

from reconciler.errors import ClusterError, InternalError, error_to_answer
from reconciler.model.results import ToolError, ToolResult

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Envelope(Generic[T]):
    """What a block of work comes to: `with envelope: envelope.result = await work`. Only its cancellation raises."""

    def __init__(self) -> None:
        self.result: T | None = None
        self.error: ClusterError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, raised: BaseException | None, _where: TracebackType | None
    ) -> bool:
        if not isinstance(raised, Exception):
            return False
        self.error = error_to_answer(raised)
        if isinstance(raised, ClusterError):
            self.result = raised.partial
        else:
            event = "internal_error" if isinstance(self.error, InternalError) else "operation_failed"
            log.error(event, exc_info=raised)
        return True

    def answer(self) -> ToolResult[T]:
        """The envelope of the contract."""
        error = ToolError.of(self.error) if self.error else None
        return ToolResult(success=error is None, result=self.result, error=error)
