"""Passes MCP messages between a client and a server on stdio, and records each in a file.

The server's own error output stays where it goes. A record has one JSON object a line: `from` is `client` or `server`,
`line` is the message as it was.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LONGEST_LINE_BYTES = 64 * 1024 * 1024


async def relay(record: Path, server: Sequence[str]) -> int:
    """Relay until the server ends; its exit code."""
    process = await asyncio.create_subprocess_exec(
        *server, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LONGEST_LINE_BYTES
    )
    assert process.stdin is not None
    assert process.stdout is not None
    coming = await _standard_input()
    with record.open("a") as kept:
        asking = asyncio.create_task(_forward(coming, process.stdin, kept))
        async for line in process.stdout:
            _keep(kept, "server", line)
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        asking.cancel()
        return await process.wait()


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LONGEST_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _forward(coming: asyncio.StreamReader, server: asyncio.StreamWriter, kept: Any) -> None:
    """What the client says, until it closes its end; then the server's is closed too, so that it ends."""
    async for line in coming:
        _keep(kept, "client", line)
        server.write(line)
        await server.drain()
    server.close()


def _keep(kept: Any, sender: str, line: bytes) -> None:
    kept.write(json.dumps({"from": sender, "line": line.decode(errors="replace")}) + "\n")
    kept.flush()
