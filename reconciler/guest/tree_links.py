"""Where the symbolic links of a tree lead that somebody else wrote. Pure."""

from collections.abc import Mapping

PATH_LIMIT_BYTES = 4095
"""Limit of a name in a tree and of a link's target: the kernel takes no longer path (PATH_MAX)."""
STEPS_LIMIT = 4_000_000
"""How many parts of paths are followed for one tree: links that lead through one another can multiply them."""
_LINKS_FOLLOWED = 40
"""Links that the kernel follows in one path (MAXSYMLINKS); with more of them the path leads nowhere."""


class TreeLinks:
    """The links of one tree: their targets by their own paths in it, which have neither `.` nor `..`."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = targets
        self._steps = 0

    def leads_out(self, link: str) -> bool:
        """Whether a link leads out of the tree, wherever the tree is put, through whatever other links.

        A link that leads in a circle leads nowhere. Raises `ValueError` if all links together take too many steps.
        """
        here, ahead = _above(link), self._parts_of(link)
        followed = 0
        while ahead:
            name = ahead.pop()
            if name == "/":
                return True
            if name == "..":
                if not here:
                    return True
                here.pop()
            elif name not in {"", "."}:
                place = _below(here[-1] if here else "", name)
                if place not in self._targets:
                    here.append(place)
                elif (followed := followed + 1) > _LINKS_FOLLOWED:
                    return False
                else:
                    ahead += self._parts_of(place)
        return False

    def _parts_of(self, link: str) -> list[str]:
        """The parts of a link's target, the first one last; `/` leads out of every tree, and so does its root."""
        target = self._targets[link]
        if target.startswith("/") or not link:
            return ["/"]
        parts = target.split("/")
        self._steps += len(parts)
        if self._steps > STEPS_LIMIT:
            raise ValueError("its links lead through too many others")
        return parts[::-1]


_TOO_FAR = "/"
"""In place of paths that are longer than any link's own, so that a step costs the same wherever it leads."""


def _above(link: str) -> list[str]:
    """The directories that a link is in, from the outermost to the innermost."""
    ends = (at for at, letter in enumerate(link) if letter == "/")
    return [link[:end] for end in ends]


def _below(directory: str, name: str) -> str:
    if directory == _TOO_FAR or len(directory) + len(name) >= PATH_LIMIT_BYTES:
        return _TOO_FAR
    return f"{directory}/{name}" if directory else name
