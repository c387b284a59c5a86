"""Texts with blanks: where a machine's own values stood, those of another one can be filled in."""

import pickle
import re
from collections.abc import Callable, Mapping
from io import BytesIO

Values = Mapping[str, str]
Blank = tuple[str, str]
"""The name of a value, and what stands between its lines: YAML and JSON write the end of a line in other ways."""
Form = tuple[str | Blank, ...]


def form_of(text: str, values: Values) -> Form:
    """The text with a blank wherever one of the values is."""
    parts: list[str | Blank] = []
    end = 0
    for match in re.finditer(_any_of(values), text):
        name = next(name for name in values if match[name] is not None)
        parts += [text[end : match.start()], (name, match[f"{name}_between"] or "\n")]
        end = match.end()
    return (*parts, text[end:])


def filled(form: Form, values: Values) -> str:
    """The text with these values."""
    return "".join(part if isinstance(part, str) else values[part[0]].replace("\n", part[1]) for part in form)


def finder_of(form: Form) -> Callable[[str], dict[str, str]]:
    """A function that finds the values in a text of that form, and raises `ValueError` if it has another one."""
    pattern, between = "", dict[str, str]()
    for part in form:
        if isinstance(part, str):
            pattern += re.escape(part)
        elif part[0] in between:
            pattern += f"(?P={part[0]})"
        else:
            between[part[0]] = part[1]
            pattern += rf"(?P<{part[0]}>[^\s'\"][\s\S]*?)"
    compiled = re.compile(pattern)

    def values_in(text: str) -> dict[str, str]:
        if (match := compiled.fullmatch(text)) is None:
            raise ValueError("its seed differs from the template's in more than a node's own values")
        return {name: value.replace(between[name], "\n") for name, value in match.groupdict().items()}

    return values_in


def pickled_form(content: bytes, values: Values) -> bytes:
    """A pickle with blanks in its texts."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, of: object) -> object:
            text = of.decode(errors="surrogateescape") if isinstance(of, bytes) else of
            form = form_of(text, values) if isinstance(text, str) else ()
            return (isinstance(of, bytes), form) if len(form) > 1 else None  # None: as usual

    blank = BytesIO()
    Pickler(blank, pickle.DEFAULT_PROTOCOL).dump(pickle.loads(content))
    return blank.getvalue()


def filled_pickle(content: bytes, values: Values) -> bytes:
    """The pickle with these values."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, of: tuple[bool, Form]) -> object:
            is_bytes, form = of
            text = filled(form, values)
            return text.encode(errors="surrogateescape") if is_bytes else text

    return pickle.dumps(Unpickler(BytesIO(content)).load())


def _any_of(values: Values) -> str:
    """A pattern of all values, the longest first: one may be a part of another."""
    return "|".join(_written(name, values[name]) for name in sorted(values, key=lambda of: -len(values[of])))


def _written(name: str, value: str) -> str:
    first, *others = map(re.escape, value.split("\n"))
    if not others:
        return rf"(?P<{name}>{first}(?P<{name}_between>))"
    rest = f"(?P={name}_between)".join(others)
    return rf"(?P<{name}>{first}(?P<{name}_between>[\s\S]{{1,20}}?){rest})"
