"""Three builds of a kernel module, of which the last is broken: it oopses where the others say that they were asked."""

from pathlib import Path

from tests.guest_kernel.workshop import Workshop

_ASKED = 'pr_notice("the " EDITION " edition was asked\\n");\n\treturn 0;'
_BROKEN = 'return begin(provoke_oops, "vmtrial_oops");'


def three_builds(image_dir: Path, directory: Path) -> tuple[Path, ...]:
    """The trees, oldest first. Raises `RuntimeError` where the kit for the guests' kernel was not fetched."""
    trees = []
    for number, edition in enumerate(("first", "second", "third"), 1):
        shop = Workshop.opened(image_dir, directory / str(number))
        shop.build(edition, replacing=(_ASKED, _BROKEN) if edition == "third" else ("", ""))
        trees.append(shop.tree)
    return tuple(trees)
