"""The host's Debian archives, rewritten for the guest's release; pure (sources.list(5))."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

_COMPONENT = "main"
_SUFFIXES = ("", "-updates", "-security")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")
_KEPT_ACQUIRE = re.compile(
    r'Acquire::(?:https?::Proxy|https?::Proxy::[^ ]+|Check-Valid-Until|Check-Date|ForceIPv[46]) ".*";'
)


@dataclass(frozen=True, slots=True)
class AptSource:
    """One archive and one of its suites; `signed_by` is a path, or None for apt's own key rings."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str | None = None


def guest_sources(texts: Iterable[str], host_codename: str, guest_codename: str) -> list[str]:
    """The host's own Debian archives as one-line entries for the guest's release; empty if it has none.

    `texts` are the host's source files in either format. Entries of other origins (a vendor's archive) have other
    suites or components and are skipped.
    """
    wanted = {host_codename + suffix: guest_codename + suffix for suffix in _SUFFIXES}
    found = [
        replace(source, suite=wanted[source.suite])
        for text in texts
        for source in parse_sources(text)
        if source.suite in wanted and _COMPONENT in source.components
    ]
    if not any(source.suite == guest_codename for source in found):
        return []
    return list(dict.fromkeys(_render(source) for source in found))


def kept_acquire_options(apt_config_dump: str) -> list[str]:
    """The lines of `apt-config dump` that decide whether the archives can be reached from here."""
    return [line.strip() for line in apt_config_dump.splitlines() if _KEPT_ACQUIRE.fullmatch(line.strip())]


def parse_sources(text: str) -> list[AptSource]:
    """The binary archives in a source file, in either of apt's two formats."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    if any(line.lower().startswith("types:") for line in lines):
        return _parse_stanzas(lines)
    return [source for line in lines if (source := _parse_line(line.strip())) is not None]


def _parse_line(line: str) -> AptSource | None:
    match = _ONE_LINE.fullmatch(line)
    if match is None:
        return None
    options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
    return AptSource(match["uri"], match["suite"], tuple(match["components"].split()), options.get("signed-by"))


def _parse_stanzas(lines: list[str]) -> list[AptSource]:
    stanzas = re.split(r"\n\s*\n", "\n".join(lines))
    return [source for stanza in stanzas for source in _sources_of(_fields(stanza))]


def _fields(stanza: str) -> dict[str, str]:
    unfolded = re.sub(r"\n[ \t]+", " ", stanza)
    pairs = (line.partition(":") for line in unfolded.splitlines() if ":" in line)
    return {name.strip().lower(): value.strip() for name, _colon, value in pairs}


def _sources_of(fields: Mapping[str, str]) -> list[AptSource]:
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
        return []
    key = fields.get("signed-by", "")
    signed_by = key if key.startswith("/") else None  # the key itself can also be in the file
    return [
        AptSource(uri, suite, tuple(fields.get("components", "").split()), signed_by)
        for uri in fields.get("uris", "").split()
        for suite in fields.get("suites", "").split()
    ]


def _render(source: AptSource) -> str:
    options = f"[signed-by={source.signed_by}] " if source.signed_by else ""
    return f"deb {options}{source.uri} {source.suite} {' '.join(source.components)}"
