"""How far a boot is, from what the machine prints on its console: pure, and bounded by the text it is given."""

import re
from collections import deque

_STAGES = (
    (rb"SeaBIOS|iPXE|UEFI|BdsDxe", "firmware"),
    (rb"GNU GRUB|GRUB loading|Booting `|Loading Linux|SYSLINUX", "boot loader"),
    (rb"Linux version |Decompressing Linux|\[ {4}0\.\d{6}\]", "kernel"),
    (rb"Run /init|Loading, please wait|Begin: ", "initial ramdisk"),
    (rb"systemd\[1\]: |Welcome to |INIT: version", "services"),
    (rb"[Cc]loud-init v\. ?\S{1,40} running '(?P<running>[a-z-]{1,20}(?::[a-z]{1,20})?)'", "cloud-init"),
    (rb"[Cc]loud-init v\. ?\S{1,40} finished", "cloud-init: done"),
    (rb" login: ", "login prompt"),
)
_ANY = re.compile(b"|".join(b"(?P<s%d>%s)" % (at, pattern) for at, (pattern, _) in enumerate(_STAGES)))
_WORDS = {f"s{at}": words for at, (_, words) in enumerate(_STAGES)}

OTHER = "its console is alive"


def boot_stage(printed: bytes) -> str | None:
    """The last stage that a text from the console shows; None of an empty text."""
    matches = deque(_ANY.finditer(printed), maxlen=1)
    if not matches:
        return OTHER if printed.strip() else None
    found = matches[0]
    running = found["running"]
    return f"cloud-init: {running.decode()}" if running else _WORDS[found.lastgroup or ""]
