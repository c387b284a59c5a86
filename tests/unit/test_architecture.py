"""The contracts between the layers hold, and cannot be made to hold by adding exceptions."""

import ast
import configparser
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

REPOSITORY = Path(__file__).parents[2]

HOST_EXCEPTIONS = {
    "reconciler.service.runtime -> reconciler.host.libvirt.driver",  # the composition root
    "reconciler.service.runtime -> reconciler.host.events",
    "reconciler.service.runtime -> reconciler.host.netlink.listener",
    "reconciler.service.runtime -> reconciler.host.links.driver",
    "reconciler.service.runtime -> reconciler.host.virt_type",
    "reconciler.service.standing -> reconciler.host.libvirt.driver",  # reads what `status` shows
    "reconciler.service.images -> reconciler.host.image.build",  # images belong to no cluster
    "reconciler.service.doctor -> reconciler.host.checks",  # looks at the host, changes nothing
}


def contracts() -> dict[str, configparser.SectionProxy]:
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / ".importlinter")
    return {name.rpartition(":")[2]: parser[name] for name in parser.sections()}


def lines(section: configparser.SectionProxy, key: str) -> set[str]:
    return {line for line in section.get(key, "").splitlines() if line}


def test_every_contract_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert lint_imports(config_filename=str(REPOSITORY / ".importlinter"), no_cache=True) == 0


def test_only_the_known_exceptions_are_made() -> None:
    made = {exception for section in contracts().values() for exception in lines(section, "ignore_imports")}
    assert made <= HOST_EXCEPTIONS


def test_every_codec_and_everything_that_decides_is_held_pure() -> None:
    pure = lines(contracts()["pure"], "source_modules")
    modules = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for pattern in ("host/*/*_xml.py", "host/*/codec.py", "host/*/mark.py")
        for path in (REPOSITORY / "reconciler").glob(pattern)
    }
    assert modules
    assert modules <= pure
    assert {"reconciler.plan", "reconciler.model", "reconciler.desired.compile", "reconciler.service.intent"} <= pure


def test_a_topology_is_refused_where_it_is_read_and_nowhere_later() -> None:
    """What plans, acts and renders seeds or XML cannot say that a topology is wrong: something was touched by then."""
    of_input = {"TopologyInvalid", "InvalidArgument", "ImageNotFound"}
    later = ("act", "controller", "observe", "plan", "host/cloud_init", "host/libvirt")
    modules = [path for folder in later for path in (REPOSITORY / "reconciler" / folder).rglob("*.py")]
    assert modules
    refusing = {
        path
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name | ast.alias) and of_input & {getattr(node, "id", ""), getattr(node, "name", "")}
    }
    assert refusing == set()
