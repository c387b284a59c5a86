"""What a recorded session took: calls, errors, bytes, and tokens by a rule of thumb. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

CHARACTERS_OF_A_TOKEN = 4
"""English and JSON have about four characters a token; every model's tokenizer counts differently."""


@dataclass
class Measure:
    """What one session took.

    `answer_bytes` are the lines that answered calls of tools, as they came; `longest_answer_bytes` is the longest.
    `tokens` estimates what a model reads and writes: the arguments of calls, the text of answers (not its copy as
    structure), and once the list of tools with the server's instructions.
    """

    calls: int = 0
    errors: int = 0
    answer_bytes: int = 0
    longest_answer_bytes: int = 0
    list_bytes: int = 0
    tokens: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)

    @property
    def bytes(self) -> int:
        """What the server said: the list of tools once, and all answers."""
        return self.list_bytes + self.answer_bytes

    @classmethod
    def of(cls, record: Iterable[str]) -> "Measure":
        """The measure of a record, line by line."""
        found, waiting = cls(), dict[Any, str]()
        for sender, line in _messages(record):
            message = json.loads(line)
            if sender == "client" and "method" in message and "id" in message:
                waiting[message["id"]] = message["method"]
                found._asked(message)
            elif sender == "server" and "method" not in message and message.get("id") in waiting:
                found._answered(waiting.pop(message["id"]), message, len(line.encode()))
        return found

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "codes": dict(self.codes), "tools": dict(self.tools)}

    def _asked(self, message: dict[str, Any]) -> None:
        if message["method"] == "tools/call":
            self.calls += 1
            self.tools[message["params"]["name"]] += 1
            self.tokens += _tokens(json.dumps(message["params"].get("arguments", {}), ensure_ascii=False))

    def _answered(self, method: str, message: dict[str, Any], size: int) -> None:
        result = message.get("result", {})
        match method:
            case "tools/call":
                self.answer_bytes += size
                self.longest_answer_bytes = max(self.longest_answer_bytes, size)
                self.tokens += _tokens("".join(of.get("text", "") for of in result.get("content", ())))
                if "error" in message or result.get("isError"):
                    self.errors += 1
                    self.codes[_code(message)] += 1
            case "tools/list":
                if not self.list_bytes:
                    self.tokens += _tokens(json.dumps(result.get("tools", []), ensure_ascii=False))
                self.list_bytes = max(self.list_bytes, size)
            case "initialize" | "server/discover":
                self.tokens += _tokens(result.get("instructions", ""))
            case _:
                pass


def _messages(record: Iterable[str]) -> Iterator[tuple[str, str]]:
    for entry in record:
        said = json.loads(entry)
        if said["line"].strip():
            yield said["from"], said["line"]


def _code(message: dict[str, Any]) -> str:
    envelope = message.get("result", {}).get("structuredContent") or {}
    return (envelope.get("error") or {}).get("code") or f"JSON-RPC {message.get('error', {}).get('code')}"


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_OF_A_TOKEN)
