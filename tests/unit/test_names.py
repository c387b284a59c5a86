"""A name has one meaning in the whole package: a reader who has it finds one place, or one of a declared family."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

FAMILIES = {
    "faults": {"faults", "model/faults.py"},
    "host": {"host", "model/host.py"},
    "kernel_log": {"kernel_log", "model/kernel_log.py"},
    "links": {"host/links", "model/links.py"},
    "placement": {"placement", "model/placement.py"},
    "plan": {"plan", "model/plan.py"},
}
"""The modules that share a name on purpose.

Beside the first, each is a folder with the module of `model` that holds the data which the folder works on. Codecs and
drivers are none: each has its kind before the suffix, as `seed_codec` and `seed_driver`.
"""


FUNCTIONS = {
    "exported": {"store/sqlite_copies.py", "store/etcd/etcd_copies.py"},
    "known_in": {"store/sqlite_copies.py", "store/etcd/etcd_copies.py"},
    "load": {"store/sqlite_copies.py", "store/etcd/etcd_copies.py"},
}
"""The functions that share a name on purpose: each kind of store has them.

Methods may share names, as their class tells them apart; so do commands and tools, which are named as users call them,
and every program has a `main`.
"""


def classes(root: Path) -> Iterator[tuple[str, str]]:
    """Every class with its place."""
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield node.name, f"{path.relative_to(root)}:{node.lineno}"


def functions(root: Path) -> Iterator[tuple[str, str]]:
    """Every public function of a module, but for commands, tools and `main`."""
    for path in root.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and not node.name.startswith("_")
                and node.name != "main"
                and not any(".command(" in ast.unparse(decorator) for decorator in node.decorator_list)
                and not ast.unparse(node.args).startswith("call: Call")
            ):
                yield node.name, str(path.relative_to(root))


def modules(root: Path) -> Iterator[tuple[str, str]]:
    """Every module and folder, but for modules that only pass on names from elsewhere."""
    for path in root.rglob("*.py"):
        if path.name == "__init__.py" and path.parent != root:
            yield path.parent.name, str(path.parent.relative_to(root))
        elif path.name != "__init__.py" and not _passes_on(ast.parse(path.read_text())):
            yield path.stem, str(path.relative_to(root))


def _passes_on(module: ast.Module) -> bool:
    return all(isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign) for node in module.body) and any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__" for node in module.body
    )


def shared(named: Iterator[tuple[str, str]]) -> Mapping[str, set[str]]:
    """The names that more than one place has, with those places."""
    places = defaultdict(set)
    for name, place in named:
        places[name].add(place)
    return {name: of for name, of in places.items() if len(of) > 1}


def test_no_two_classes_share_a_name() -> None:
    assert shared(classes(REPOSITORY / "reconciler")) == {}


def test_no_two_functions_share_a_name_except_those_of_the_stores() -> None:
    assert shared(functions(REPOSITORY / "reconciler")) == FUNCTIONS


def test_no_two_modules_share_a_name_outside_of_the_declared_families() -> None:
    assert shared(modules(REPOSITORY / "reconciler")) == FAMILIES


def test_a_shared_name_is_found_with_both_its_places(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "driver.py").write_text("class Driver: pass\ndef drive(): pass\ndef _park(): pass\n")
    (tmp_path / "driver.py").write_text('from a.driver import Driver\n__all__ = ["Driver"]\n')
    assert shared(classes(tmp_path)) == {"Driver": {"a/driver.py:1", "b/driver.py:1"}}
    assert shared(functions(tmp_path)) == {"drive": {"a/driver.py", "b/driver.py"}}
    assert shared(modules(tmp_path)) == {"driver": {"a/driver.py", "b/driver.py"}}
