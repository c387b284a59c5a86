"""A name has one meaning in the whole package: a reader who has it finds one place, or one of a declared family."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

FAMILIES = {
    "change_feed": {"store/change_feed.py", "store/etcd/change_feed.py"},  # each kind of store has one
    "faults": {"faults", "model/faults.py"},
    "kernel_log": {"kernel_log", "model/kernel_log.py"},
    "links": {"host/links", "model/links.py"},
    "plan": {"plan", "model/plan.py"},
}
"""The modules that share a name on purpose.

Beside the first, each is a folder with the module of `model` that holds the data which the folder works on. Codecs and
drivers are none: each has its kind before the suffix, as `seed_codec` and `seed_driver`.
"""


def classes(root: Path) -> Iterator[tuple[str, str]]:
    """Every class with its place."""
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield node.name, f"{path.relative_to(root)}:{node.lineno}"


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


def test_no_two_modules_share_a_name_outside_of_the_declared_families() -> None:
    assert shared(modules(REPOSITORY / "reconciler")) == FAMILIES


def test_a_shared_name_is_found_with_both_its_places(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "driver.py").write_text("class Driver: pass\n")
    (tmp_path / "driver.py").write_text('from a.driver import Driver\n__all__ = ["Driver"]\n')
    assert shared(classes(tmp_path)) == {"Driver": {"a/driver.py:1", "b/driver.py:1"}}
    assert shared(modules(tmp_path)) == {"driver": {"a/driver.py", "b/driver.py"}}
