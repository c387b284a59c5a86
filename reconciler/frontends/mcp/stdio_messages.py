"""The protocol's messages on standard input and output: every request gets an answer, even one that cannot be parsed.

The SDK's transport drops a line that its parser refuses, such as one with half of a surrogate pair or with a number of
5,000 digits, and the client waits forever. Here such a line is parsed by the standard library; an invalid argument is
then refused where all arguments are checked. The streams are moved away from descriptors 0 and 1, so that no child can
read from them, and no stray `print` can write to them.
"""

import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TextIO

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    jsonrpc_message_adapter,
)
from pydantic_core import PydanticSerializationError, from_json, to_json

from reconciler.frontends.mcp.values import MOST_VALUES, holds_too_many

_BOM = "\ufeff"  # the byte order mark, which a Windows shell may add
LONGEST = 16 * 1024 * 1024
_DEEPEST = 200  # the limit of the SDK's parser (jiter)

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Arrived = MemoryObjectSendStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]


class Refused(JSONRPCError):
    """The answer to a line that is not a message; not an error that a client sends as its own answer."""


@asynccontextmanager
async def stdio_streams() -> AsyncIterator[tuple[Incoming, Outgoing]]:
    """The streams of messages over this process's standard input and output, until the input ends."""
    with _taken_input() as source, _taken_output() as target:
        arrived, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, leaving = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read, source, arrived, outgoing.clone())
            tasks.start_soon(_write, leaving, target)
            yield incoming, outgoing


def _taken_input() -> TextIO:
    """The input, with bytes that are not UTF-8 as lone surrogates, which no argument may hold."""
    descriptor = os.dup(0)
    _point(0, os.open(os.devnull, os.O_RDONLY))
    return os.fdopen(descriptor, encoding="utf-8", errors="surrogateescape", newline="\n", closefd=False)


def _taken_output() -> TextIO:
    descriptor = os.dup(1)
    sys.stdout.flush()
    _point(1, os.dup(2))
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="\n")


def _point(standard: int, descriptor: int) -> None:
    os.dup2(descriptor, standard)
    os.close(descriptor)


async def _read(source: TextIO, arrived: Arrived, refusals: Outgoing) -> None:
    async with arrived, refusals:
        async for line in _lines(source):
            if not (said := line.removeprefix(_BOM).strip()):
                continue  # an empty line, which some clients send to keep the connection alive
            message = parse_message(said)
            if isinstance(message, Refused):
                await refusals.send(SessionMessage(message))
            else:
                await arrived.send(SessionMessage(message))


async def _lines(source: TextIO) -> AsyncIterator[str]:
    """Each line, cut after the longest accepted length."""
    while line := await to_thread.run_sync(source.readline, LONGEST + 1):
        yield line
        while len(line) > LONGEST and not line.endswith("\n"):
            line = await to_thread.run_sync(source.readline, LONGEST + 1)


async def _write(leaving: MemoryObjectReceiveStream[SessionMessage], target: TextIO) -> None:
    wire = anyio.wrap_file(target)
    async with leaving:
        async for item in leaving:
            await wire.write(render_message(item.message) + "\n")
            await wire.flush()


def render_message(message: JSONRPCMessage) -> str:
    """A message as a line without its line end; always valid JSON, whatever text it holds."""
    said = as_text(message.model_dump(mode="json", by_alias=True, exclude_unset=True))
    return to_json(said, inf_nan_mode="null").decode()


def parse_message(line: str) -> JSONRPCMessage:
    """The message on a line, or the error to answer with; errors that a client sends are passed on."""
    if len(line) > LONGEST:
        return _error(
            _identity_of(line), INVALID_REQUEST, f"a message has at most {LONGEST} characters (push files instead)"
        )
    if holds_too_many(line):
        return _error(_identity_of(line), INVALID_REQUEST, f"a message has at most {MOST_VALUES} values")
    try:
        message = jsonrpc_message_adapter.validate_python(
            from_json(line), by_name=False
        )  # this parser needs a third of the memory
    except (ValueError, TypeError):  # UnicodeError: text that cannot be encoded
        message = _parse_leniently(line)
    if isinstance(message, JSONRPCNotification) and _has_identity(line):
        return _error(None, INVALID_REQUEST, "an `id` is text or a whole number, and a notification has none")
    if isinstance(message, JSONRPCRequest) and message.params and message.params.get("arguments") is not None:
        message.params["arguments"] = _mapping(message.params["arguments"])
    return message


def _identity_of(line: str) -> Any:
    """The `id` of a message that is not parsed, where clients put it: at the beginning or at the end."""
    found = _IDENTITY_FIRST.match(line) or _IDENTITY_LAST.search(line, max(0, len(line) - _IDENTITY_LENGTH))
    return {"id": json.loads(found[1])} if found else None


_IDENTITY_LENGTH = 300
_IDENTITY = r'"id"\s*+:\s*+(0|[1-9][0-9]{0,14}|"[^"\\\x00-\x1f]{0,200}")\s*+'  # valid JSON, whatever it is
_IDENTITY_FIRST = re.compile(rf'\s*+\{{\s*+(?:"jsonrpc"\s*+:\s*+"2\.0"\s*+,\s*+)?{_IDENTITY},')
_IDENTITY_LAST = re.compile(rf"{_IDENTITY}\}}\s*$")


def _has_identity(line: str) -> bool:
    """Whether a client expects an answer to what the SDK takes for a notification, because its `id` has an unknown
    type.
    """
    return '"id"' in line and "id" in json.loads(line, parse_int=_number)


def _mapping(arguments: Any) -> dict[str, Any]:
    """A tool's arguments, also if sent as JSON text; anything but a mapping becomes an unknown argument."""
    with suppress(ValueError, RecursionError):
        text = arguments if isinstance(arguments, str) and not holds_too_many(arguments) else None
        parsed = arguments if text is None else json.loads(text)
        if isinstance(parsed, dict) and _within(parsed, _DEEPEST):
            return parsed
    return {"arguments": arguments}


def _parse_leniently(line: str) -> JSONRPCMessage:
    try:
        said = json.loads(line, parse_int=_number)
    except (ValueError, RecursionError) as error:
        return _error(None, PARSE_ERROR, f"the line is not valid JSON: {error}")
    if not _within(said, _DEEPEST):
        return _error(said, INVALID_REQUEST, f"more than {_DEEPEST} levels of nesting")
    frame, arguments = _taken_apart(said)
    if not is_text(frame):
        return _error(said, INVALID_REQUEST, "half of a surrogate pair is not valid text")
    if arguments is not None:
        frame["params"]["arguments"] = _with_names_of_text(arguments)
    try:
        return jsonrpc_message_adapter.validate_python(frame, by_name=False)
    except ValueError:
        return _error(said, INVALID_REQUEST, "the line is not a JSON-RPC 2.0 message of MCP")


def _taken_apart(said: Any) -> tuple[Any, Any]:
    """A message without a tool's arguments, and the arguments."""
    params = said.get("params") if isinstance(said, dict) else None
    if not isinstance(params, dict):
        return said, None
    rest = dict(params)
    arguments = rest.pop("arguments", None)
    return {**said, "params": rest}, arguments


def _number(digits: str) -> int | float:
    """An integer; one longer than Python parses becomes infinity (sys.set_int_max_str_digits)."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _within(value: Any, levels: int) -> bool:
    """Whether a value is nested no deeper than this: the code that reads it is recursive."""
    level = [value]
    for _ in range(levels):
        nested = [of.values() if isinstance(of, dict) else of for of in level if isinstance(of, dict | list)]
        if not (level := [of for inner in nested for of in inner if isinstance(of, dict | list)]):
            return True
    return False


def _with_names_of_text(value: Any) -> Any:
    """The same, with names that are not valid text escaped: no argument has such a name, and the SDK would reject the
    message.
    """
    if isinstance(value, dict):
        return {as_text(name): _with_names_of_text(of) for name, of in value.items()}
    return [_with_names_of_text(of) for of in value] if isinstance(value, list) else value


def is_text(value: Any) -> bool:
    """Whether all text in a value can be encoded as UTF-8."""
    try:
        to_json(value)
    except PydanticSerializationError:
        return False
    return True


def as_text(value: Any) -> Any:
    """The same data, with lone surrogates escaped: file names that are not UTF-8 hold them, and JSON cannot."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {as_text(name): as_text(of) for name, of in value.items()}
    return list(map(as_text, value)) if isinstance(value, list) else value


def _error(said: Any, code: int, why: str) -> Refused:
    identity = said.get("id") if isinstance(said, dict) else None
    known = (isinstance(identity, str) and identity == as_text(identity)) or type(identity) is int
    return Refused(jsonrpc="2.0", id=identity if known else None, error=ErrorData(code=code, message=as_text(why)))
