"""The meaning of a plain YAML scalar, refusing scalars that two YAML readers would read differently.

YAML 1.1 (which most tools here read) and YAML 1.2 differ in octal and sexagesimal numbers, in exponents and in
underscores: <https://yaml.org/spec/1.1/> section 10 and <https://yaml.org/spec/1.2.2/> section 10.3.2. Those are
refused; dates are text, as in 1.2; `yes`, `on`, `no` and `off` are true and false, as in 1.1 and in cloud-init.
"""

import math
import re

Scalar = str | int | float | bool | None

_LOWER_CASE_WORDS: tuple[tuple[str, bool | None], ...] = (
    ("null", None),
    *((word, True) for word in ("true", "yes", "on")),
    *((word, False) for word in ("false", "no", "off")),
)
_EMPTY: dict[str, bool | None] = {"": None, "~": None}
_WORDS = _EMPTY | {
    variant: value for word, value in _LOWER_CASE_WORDS for variant in (word, word.capitalize(), word.upper())
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+([eE][-+][0-9]{1,3})?")

_NUMBER_MAX_LENGTH = 64  # anything longer is text; this also bounds the patterns' backtracking

_OCTAL, _NEW_OCTAL = re.compile(r"[-+]?0[0-7_]+"), re.compile(r"0o[0-7]+")
_OCTAL_MAX_LENGTH = len("+0777777777")
_TRAPS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[-+]?0b[01_]+"), "is a binary number in YAML 1.1 and text in YAML 1.2"),
    (_NEW_OCTAL, "is text in YAML 1.1 and an octal number in YAML 1.2"),
    (re.compile(r"[-+]?0[0-9]+"), "is text in YAML 1.1 and a decimal number in YAML 1.2"),
    (re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*"), "is a number in YAML 1.1 and text in YAML 1.2"),
    (
        re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)[eE][-+]?[0-9]+"),
        "is text in YAML 1.1 and a number in YAML 1.2",
    ),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+"), "is a hexadecimal number in an unusual form"),
    (re.compile(r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)"), "is a number in an unusual form"),
    (re.compile(r"[-+]?[0-9]+"), "is a number too large to be stored exactly"),
)
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class Ambiguous(ValueError):
    """A scalar that must be written differently; the message says how."""


def read_plain(text: str) -> Scalar:
    """The value of an unquoted scalar without a tag; raises `Ambiguous`."""
    if len(text) > _NUMBER_MAX_LENGTH:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 16 if "x" in text else 10)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    _refuse_traps(text)
    return text


def read_octal(text: str) -> Scalar:
    """The value of an octal number in YAML 1.1, which reads `0o644` as text; None if it is not one."""
    if _OCTAL.fullmatch(text) and len(text) <= _OCTAL_MAX_LENGTH:
        return int(text.replace("_", ""), 8)
    return text if _NEW_OCTAL.fullmatch(text) else None


def _refuse_traps(text: str) -> None:
    if not (text[0].isdigit() or text[0] in "+-."):
        return
    if _NOT_FINITE.fullmatch(text):
        raise Ambiguous('is not a usable number (put it in quotes if text is meant: "...")')
    if _OCTAL.fullmatch(text) and len(text) <= _OCTAL_MAX_LENGTH:
        value = int(text.replace("_", ""), 8)
        raise Ambiguous(f'is the octal number {value} in YAML 1.1 (write {value}, or "{text}" in quotes for text)')
    if _BASE_60.fullmatch(text):  # usually meant as a time of day, a hardware address or ports
        raise Ambiguous(f'is a number in base 60 in YAML 1.1 and text in YAML 1.2 (put it in quotes: "{text}")')
    for pattern, why in _TRAPS:
        if pattern.fullmatch(text):
            raise Ambiguous(f"{why} (write a plain decimal number, or put it in quotes for text)")
