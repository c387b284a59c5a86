"""The contracts between the layers hold, and cannot be made to hold by adding exceptions."""

import ast
import configparser
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

pytestmark = [pytest.mark.long, pytest.mark.processes]

REPOSITORY = Path(__file__).parents[2]

HOST_EXCEPTIONS = {
    "reconciler.runtime -> reconciler.host.libvirt.libvirt_driver",  # the composition root
    "reconciler.runtime -> reconciler.host.host_events",
    "reconciler.runtime -> reconciler.host.kernel_listener",
    "reconciler.runtime -> reconciler.host.links.link_driver",
    "reconciler.runtime -> reconciler.host.virt_type",
    "reconciler.daemon.service -> reconciler.host.host_events",  # what it is told of
    "reconciler.daemon.service -> reconciler.host.libvirt.libvirt_connection",
    "reconciler.health.node_state -> reconciler.host.libvirt.libvirt_driver",  # reads what `status` shows
    "reconciler.usecases.images -> reconciler.image.build",  # images belong to no cluster
    "reconciler.usecases.doctor -> reconciler.host.checks",  # looks at the host, changes nothing
}

PURE_EXCEPTIONS = {
    "reconciler.desired.resolve -> reconciler.settings",  # values that somebody else has read
    "reconciler.image.recipe -> io",  # an archive in memory
    "reconciler.records.preview -> reconciler.controller.round_results",  # a type, which is not imported when it runs
}
FUNCTIONS_WITH_EFFECTS = {"open", "input", "print", "exec", "eval", "compile", "__import__"}
METHODS_WITH_EFFECTS = {
    *("chmod", "cwd", "exists", "expanduser", "glob", "group", "hardlink_to", "home", "is_dir", "is_file", "is_mount"),
    *("is_symlink", "iterdir", "lchmod", "lstat", "mkdir", "open", "owner", "read_bytes", "read_text", "readlink"),
    *("rename", "resolve", "rglob", "rmdir", "samefile", "stat", "symlink_to", "touch", "unlink", "walk"),
    *("write_bytes", "write_text", "now", "today", "utcnow"),
}
"""Those of paths that touch files, and those of `datetime` that look at the clock; `Path` itself is only a name."""


MODULE_MAX_LINES = 400
FUNCTION_MAX_LINES = 66
"""A tool or a command with all parameters of the contract is that long; nothing else comes near it."""

STARTERS = {
    "reconciler/process.py": {
        "create_subprocess_exec",
        "posix_spawn",
    },  # the one place: absolute, in /, environment clean
    "reconciler/image/root/programs/usr/lib/cloud-init/wait_for_identity.py": {"subprocess"},  # runs in guests
    "reconciler/image/root/programs/usr/lib/cloud-init/machine.py": {"subprocess"},
    "reconciler/image/root/programs/usr/lib/cloud-init/held_back.py": {"subprocess"},
    "reconciler/image/root/programs/usr/lib/cloud-init/take_identity.py": {"fork", "subprocess"},
    "reconciler/frontends/cli/node_commands.py": {"execve"},  # this process becomes ssh
    "reconciler/frontends/cli/scoped_faults.py": {
        "posix_spawnp"
    },  # a person's own command, as their shell would run it
    "reconciler/healer.py": {"fork"},  # what was left behind lets its first process end
    "reconciler/guest/link_probe.py": {"fork"},  # runs inside a guest
}
"""Which calls that start a process are where."""
STARTS = re.compile(
    r"os\.system|(posix_)?spawn.*|exec[lv]p?e?|v?fork(pty)?|popen|[gs]etstatusoutput|getoutput|"
    r"Popen|create_subprocess_\w+|subprocess_(exec|shell)|check_(call|output)|ProcessPoolExecutor|startfile"
)


def contracts() -> dict[str, configparser.SectionProxy]:
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / ".importlinter")
    return {name.rpartition(":")[2]: parser[name] for name in parser.sections()}


def lines(section: configparser.SectionProxy, key: str) -> set[str]:
    return {line for line in section.get(key, "").splitlines() if line}


def test_every_contract_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert lint_imports(config_filename=str(REPOSITORY / ".importlinter"), no_cache=True) == 0


def pure_files() -> set[Path]:
    """The source of everything that the contract holds pure, packages with all that is in them."""
    places = [REPOSITORY / name.replace(".", "/") for name in lines(contracts()["pure"], "source_modules")]
    return {
        file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")])
    }


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def effects(module: ast.Module) -> Iterator[tuple[int, str]]:
    """The calls in a module that no import betrays, with their lines."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS_WITH_EFFECTS:
                yield node.lineno, name
            case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS_WITH_EFFECTS:
                yield node.lineno, name


def test_only_the_known_exceptions_are_made() -> None:
    made = {exception for section in contracts().values() for exception in lines(section, "ignore_imports")}
    assert made <= HOST_EXCEPTIONS | PURE_EXCEPTIONS


def test_every_codec_and_everything_that_decides_is_held_pure() -> None:
    pure = lines(contracts()["pure"], "source_modules")
    modules = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for pattern in ("host/*/*_xml.py", "host/*/*codec.py", "host/*/mark.py")
        for path in (REPOSITORY / "reconciler").glob(pattern)
    }
    assert modules
    assert modules <= pure
    assert {
        "reconciler.plan",
        "reconciler.model",
        "reconciler.desired.compile",
        "reconciler.records.record_changes",
    } <= pure


def test_a_topology_is_refused_where_it_is_read_and_nowhere_later() -> None:
    """What plans, acts and renders seeds or XML cannot say that a topology is wrong: something was touched by then."""
    of_input = {"TopologyInvalid", "InvalidArgument", "ImageNotFound"}
    later = ("act", "controller", "observe", "plan", "host/cloud_init", "host/libvirt")
    modules = [path for folder in later for path in (REPOSITORY / "reconciler" / folder).rglob("*.py")]
    assert modules
    refusing = {
        path
        for path in modules
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Name | ast.alias) and of_input & {getattr(node, "id", ""), getattr(node, "name", "")}
    }
    assert refusing == set()


def test_what_calls_itself_pure_is_held_pure() -> None:
    held = pure_files()
    for file in (REPOSITORY / "reconciler").rglob("*.py"):
        docstring = ast.get_docstring(parsed(file)) or ""
        if file.name != "__init__.py" and re.search(r"\bpure\b", docstring, re.IGNORECASE):
            assert file in held, f"{file} says that it is pure, and .importlinter does not hold it to that"


def test_what_is_pure_opens_nothing_and_looks_at_no_file_and_no_clock() -> None:
    found = {f"{file}:{line}: {name}" for file in pure_files() for line, name in effects(parsed(file))}
    assert not found


def sources() -> list[Path]:
    return sorted((REPOSITORY / "reconciler").rglob("*.py"))


def long_functions(module: ast.Module, longest: int = FUNCTION_MAX_LINES) -> dict[str, int]:
    """The functions of more lines than that, with how many they have."""
    functions = (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    lengths = {function.name: (function.end_lineno or 0) - function.lineno + 1 for function in functions}
    return {name: length for name, length in lengths.items() if length > longest}


def test_no_module_is_too_long_to_read() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in sources()}
    assert lengths
    assert {path: length for path, length in lengths.items() if length > MODULE_MAX_LINES} == {}


def test_no_function_is_too_long_to_read() -> None:
    assert {path: found for path in sources() if (found := long_functions(parsed(path)))} == {}


def test_a_long_function_is_seen_wherever_it_is_defined() -> None:
    module = ast.parse("class A:\n    async def b(self):\n        pass\n        pass\ndef c(): pass")
    assert long_functions(module, longest=2) == {"b": 3}


def starts(module: ast.Module) -> set[str]:
    """What a module calls, or names to be called, that starts a process, or may through a library."""
    tree = list(ast.walk(module))
    names = {node.attr for node in tree if isinstance(node, ast.Attribute)}
    names |= {node.id for node in tree if isinstance(node, ast.Name)}
    names |= {
        "os.system"
        for node in tree
        if isinstance(node, ast.Attribute) and node.attr == "system" and ast.unparse(node) == "os.system"
    }
    modules = {alias.name.partition(".")[0] for node in tree if isinstance(node, ast.Import) for alias in node.names}
    modules |= {(node.module or "").partition(".")[0] for node in tree if isinstance(node, ast.ImportFrom)}
    return {name for name in names if STARTS.fullmatch(name)} | (modules & {"subprocess", "multiprocessing", "pty"})


def test_processes_are_started_in_one_place() -> None:
    found = {
        path.relative_to(REPOSITORY).as_posix(): started
        for path in (REPOSITORY / "reconciler").rglob("*.py")
        if (started := starts(parsed(path)))
    }
    assert found == STARTERS


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess",
        "from subprocess import run as r",
        "os.system('x')",
        "f = os.execvpe",
        "loop.subprocess_exec(p)",
    ],
)
def test_what_starts_a_process_is_seen(source: str) -> None:
    assert starts(ast.parse(source))


@pytest.mark.parametrize("source", ["open('x')", "path.read_text()", "Path.cwd()", "datetime.now(UTC)", "a.b().stat()"])
def test_an_effect_is_seen(source: str) -> None:
    assert list(effects(ast.parse(source)))
