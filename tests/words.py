"""Finds words that this code base does not use: `python -m tests.words`.

Looks at what people read: string literals, docstrings and comments of `reconciler/` and `tests/`, the scripts and
configuration files in the former and in `.ci/`, the Makefile, the manual, and the topologies in `specs/`. Prints
`file:line`, what it found and the better word, and exits 1 when it found anything.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

BETTER = {
    r"anew": "again, or a verb with re-: rebuild, recreate",
    r"afresh": "again",
    r"who(m|so)?ever": "anyone who, any, or name the user or program",
    r"(bring|brings|bringing|brought) about": "apply, cause, make",
    r"of (ours|theirs)": "our, their, vmcluster's",
    r"as ever": "as before, unchanged",
    r"at (its|their) end": "when it ends, at the end",
    r"any more": "no longer",
    r"(is|are|was|were|be|been|being|stay|stays) (not |no longer )?wanted": "desired, requested",
    r"wanted (of|there|now|before)": "desired",
    r"what (is|was) wanted": "the desired state",
    r"in (the|its|their) midst( of)?": "during, while",
    r"(there|here|where|hence|hither|thence)(by|of|upon|forth|to)": "say which: by that, of it, until now",
    r"what (differs|differed)": "drift, differences, what has changed",
    r"who(m)? ask(s|ed)(?! for)": "the caller",
    r"(let|lets|letting) (it |them |be )?be": "leave alone, keep",
    r"left out:": "default:",
    r"for ever": "forever",
    r"mend(s|ed|ing)?": "fix, repair",
    r"shall": "must, should, will",
    r"lest|whence|whither|hence|betimes|ere|withal|upon": "plain words: so that, from where, therefore, on",
    r"out of turn": "at another time",
    r"in the way of": "blocking, keeping from",
    r"(come|comes|came|coming) to (its|an|their) end": "end",
    r"makes? of it": "does with it, reads it as",
    r"has to be let": "has to be left",
}  # fmt: skip
"""What is not written here, as a pattern of whole words, and what is written instead; `names` are not meant."""

_EACH = {f"word{number}": pattern for number, pattern in enumerate(BETTER)}
_GROUPS = (rf"(?P<{name}>(?<!`)\b(?:{pattern})(?!\w))".replace(" ", r"\s+") for name, pattern in _EACH.items())
_BANNED = re.compile("|".join(_GROUPS), re.IGNORECASE)
_NAME_THEM = ("words.py", "test_words.py")
_WHOLE_FILES = ("*.md", ".github/**/*.md", ".ci/*", "Makefile", "specs/**/*.md", "specs/**/*.yaml")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One banned word at a line of a file."""

    path: str
    line: int
    found: str
    better: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: “{self.found}”; better: {self.better}"


def findings_in(text: str, path: str, first_line: int = 1) -> Iterator[Finding]:
    """The banned words of a text, which begins at a line of its file."""
    for match in _BANNED.finditer(text):
        line = first_line + text.count("\n", 0, match.start())
        yield Finding(path, line, " ".join(match[0].split()), BETTER[_EACH[str(match.lastgroup)]])


def findings_in_python(source: str, path: str) -> Iterator[Finding]:
    """The banned words in string literals, which docstrings are too, and in comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for finding in findings_in(node.value, path, node.lineno):
                yield Finding(path, min(finding.line, node.end_lineno or node.lineno), finding.found, finding.better)
    yield from _findings_in_comments(source, path)


def all_findings(root: Path) -> list[Finding]:
    """Every banned word of the repository at `root`, in the order of files and lines."""
    own = [path for path in (root / "reconciler").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    others = [path for pattern in _WHOLE_FILES for path in root.glob(pattern) if path.is_file()]
    tests = [path for path in (root / "tests").rglob("*.py") if path.name not in _NAME_THEM]
    return sorted({finding for path in {*own, *others, *tests} for finding in _findings_in_file(path, root)})


def main() -> int:
    """Print what has to be changed; the exit code is 1 if there is anything."""
    found = all_findings(ROOT)
    for finding in found:
        print(finding)
    return 1 if found else 0


def _findings_in_comments(source: str, path: str) -> Iterator[Finding]:
    """The banned words of comments; a phrase may be broken over lines that follow each other."""
    comments = {
        token.start[0]: token.string.lstrip("#")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    yield from findings_in("\n".join(comments.get(line, ".") for line in range(1, max(comments, default=0) + 1)), path)


def _findings_in_file(path: Path, root: Path) -> Iterator[Finding]:
    text, name = path.read_text("utf-8", errors="replace"), str(path.relative_to(root))
    return findings_in_python(text, name) if path.suffix == ".py" else findings_in(text, name)


if __name__ == "__main__":
    sys.exit(main())
