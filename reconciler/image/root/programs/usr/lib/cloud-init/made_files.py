"""What cloud-init has made of a machine's identity: files, links and directories, to be made of another identity."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import blanks
import machine

_PLACES = ("/etc", "/home", "/root", "/run", "/var")
_WITHOUT = ("/run/log", "/run/systemd", "/run/udev", "/var/cache", "/var/lib/cloud/seed")
_CLOUD = "/var/lib/cloud/"
_INSTANCE_ID = "/var/lib/cloud/data/instance-id"
_PICKLE = "/obj.pkl"
_PRIVATE = 0o600


@dataclass(frozen=True)
class MadeFile:
    """Something that cloud-init has made, with blanks in its path and its content."""

    there: str
    status: os.stat_result
    path: blanks.Form
    content: "blanks.Form | bytes"

    def remove(self) -> None:
        """Take it off the disk, which must not have an identity that is none."""
        if stat.S_ISDIR(self.status.st_mode):
            os.rmdir(self.there)
        elif not self.there.startswith("/run/"):
            os.unlink(self.there)

    def write(self, values: blanks.Values) -> None:
        """Make it, as cloud-init would have with these values."""
        path, mode = blanks.filled(self.path, values), stat.S_IMODE(self.status.st_mode)
        if stat.S_ISDIR(self.status.st_mode):
            os.mkdir(path)
        elif stat.S_ISLNK(self.status.st_mode):
            os.symlink(self._filled(values), path)
            return
        else:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "wb") as file:
                file.write(self._filled(values))
        os.chmod(path, mode)
        if (owner := (self.status.st_uid, self.status.st_gid)) != (0, 0):
            os.chown(path, *owner)

    def _filled(self, values: blanks.Values) -> bytes:
        if isinstance(self.content, bytes):
            return bytes(blanks.filled_pickle(self.content, values))
        return str(blanks.filled(self.content, values)).encode(errors="surrogateescape")


def made_since(began: float, values: blanks.Values) -> Iterator[MadeFile]:
    """What was made of the machine's identity, in the order in which it can be made; the instance id comes last.

    As long as there is no instance id, cloud-init takes a machine that boots for a new one.
    """
    found = sorted(path for place in _PLACES for path in _below(place))
    for path in sorted(found, key=lambda of: of == _INSTANCE_ID):
        status = os.lstat(path)
        if status.st_ctime < began:
            continue
        made = MadeFile(path, status, blanks.form_of(path, values), _content(path, status, values))
        if path.startswith(_CLOUD) or (stat.S_ISREG(status.st_mode) and len(made.content) > 1):
            yield made


def _below(directory: str) -> Iterator[str]:
    for entry in os.scandir(directory):
        if entry.path in _WITHOUT:
            continue
        yield entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)


def _content(path: str, status: os.stat_result, values: blanks.Values) -> "blanks.Form | bytes":
    if stat.S_ISLNK(status.st_mode):
        return blanks.form_of(os.readlink(path), values)
    if not stat.S_ISREG(status.st_mode):
        return ()
    if path.endswith(_PICKLE):
        with open(path, "rb") as file:
            return blanks.pickled_form(file.read(), values)
    return blanks.form_of(machine.read(path), values)
