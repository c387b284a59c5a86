"""Files of checksums as publishers write them: GNU's and BSD's lines, with or without a signature around. Pure.

GNU coreutils print `DIGEST  NAME`, with `*` before the name of a binary file; with `--tag`, and on the BSDs,
`SHA256 (NAME) = DIGEST`. Fedora's CHECKSUM files are the latter inside a clear-signed message. The signature is not
checked here: what the publisher says is known by its TLS certificate.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_HEX_DIGITS = {64: "sha256", 96: "sha384", 128: "sha512"}
"""The algorithms that are trusted, by the length of their digests; MD5 and SHA-1 are passed over."""

_GNU = re.compile(r"([0-9a-fA-F]{64,128})(?:[ \t]+\*?(\S.*))?")
_BSD = re.compile(r"(SHA(?:256|384|512)) ?\((.+)\) ?= ?([0-9a-fA-F]{64,128})")


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the content of a file must be: an algorithm's name as `hashlib` has it, and a digest in hexadecimal."""

    algorithm: str
    digest: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest}"


def sha256(digest: str) -> Checksum:
    """The checksum that a user has given, with `sha256:` before it or not. Raises `ValueError`."""
    plain = digest.strip().lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise ValueError(f"{digest[:80]!r} is not a SHA-256 digest (64 hexadecimal digits)")
    return Checksum("sha256", plain)


def find_checksum(text: str, file_name: str) -> Checksum:
    """The strongest checksum of a file in a text.

    A text with nothing but one digest is about any file. Raises `ValueError` if there is none, or if two contradict
    each other.
    """
    lines = list(_checksum_lines(text))
    named = [of for name, of in lines if name == file_name]
    if not named and [name for name, _ in lines] == [""]:
        named = [lines[0][1]]
    if not named:
        raise ValueError(f"has no SHA-256, SHA-384 or SHA-512 of {file_name}")
    best = max(named, key=lambda of: len(of.digest))
    if any(of.algorithm == best.algorithm and of != best for of in named):
        raise ValueError(f"has two different checksums of {file_name}")
    return best


def _checksum_lines(text: str) -> Iterator[tuple[str, Checksum]]:
    """Each checksum with the file it is about, without directories; an empty name if the line has none."""
    for line in map(str.strip, text.splitlines()):
        if found := _BSD.fullmatch(line):
            algorithm, name, digest = found.groups()
            of = Checksum(algorithm.lower(), digest.lower())
        elif found := _GNU.fullmatch(line):
            digest, name = found[1], found[2] or ""
            of = Checksum(_HEX_DIGITS.get(len(digest), ""), digest.lower())
        else:
            continue
        if _HEX_DIGITS.get(len(of.digest)) == of.algorithm:
            yield name.rpartition("/")[2], of
