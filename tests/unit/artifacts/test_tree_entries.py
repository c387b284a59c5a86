"""The identity of a tree: the same for the same tree, another for any other."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from reconciler.artifacts.tree_entries import EntryKind, TreeEntry, path_text, sizes, tree_id

NAMES = st.binary(min_size=1, max_size=8).filter(lambda name: not set(name) & {0, ord("/")})
ENTRIES = st.builds(
    TreeEntry,
    path=st.lists(NAMES, min_size=1, max_size=3).map(b"/".join),
    kind=st.sampled_from(EntryKind),
    mode=st.integers(0, 0o7777),
    content=st.binary(max_size=8).filter(lambda content: b"\0" not in content),
)
TREES = st.lists(ENTRIES, max_size=8, unique_by=lambda entry: entry.path)


@given(TREES, st.randoms())
def test_the_order_in_which_a_tree_is_read_does_not_matter(tree: list[TreeEntry], chance: object) -> None:
    shuffled = sorted(tree, key=lambda _: chance.random())  # type: ignore[attr-defined]
    assert tree_id(shuffled) == tree_id(tree)


@given(TREES, TREES)
def test_different_trees_have_different_ids(a: list[TreeEntry], b: list[TreeEntry]) -> None:
    assert (tree_id(a) == tree_id(b)) is (set(a) == set(b))


@given(TREES.filter(bool), st.data())
def test_any_change_of_one_entry_changes_the_id(tree: list[TreeEntry], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(tree) - 1))
    field = data.draw(st.sampled_from(["path", "kind", "mode", "content"]))
    other = getattr(data.draw(ENTRIES), field)
    changed = dataclasses.replace(tree[index], **{field: other})
    after = [*tree[:index], changed, *tree[index + 1 :]]
    assert (tree_id(after) == tree_id(tree)) is (changed == tree[index])


@given(TREES.filter(bool))
def test_an_entry_more_changes_the_id(tree: list[TreeEntry]) -> None:
    assert tree_id(tree[1:]) != tree_id(tree)


def test_sizes_and_times_are_no_part_of_the_id() -> None:
    entry = TreeEntry(b"a", EntryKind.FILE, 0o644, b"00")
    assert tree_id([dataclasses.replace(entry, size_bytes=3, mtime_ns=4)]) == tree_id([entry])


@given(st.binary())
def test_any_path_can_be_shown(path: bytes) -> None:
    path_text(path).encode()


def test_sizes_are_those_in_each_tree() -> None:
    old = [TreeEntry(b"a.ko", EntryKind.FILE, 0o644, b"1", 10), TreeEntry(b"b", EntryKind.FILE, 0o644, b"2", 5)]
    new = [TreeEntry(b"a.ko", EntryKind.FILE, 0o644, b"3", 12), TreeEntry(b"c.ko", EntryKind.FILE, 0o644, b"4", 7)]
    assert sizes(old, new, {"c.ko", "a.ko"}) == {"a.ko": (10, 12), "c.ko": (None, 7)}
