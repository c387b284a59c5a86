"""A node that runs and takes no login, in words: what it has shown since its start, and what to look at. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from reconciler.model.document import Domain, Unknown
from reconciler.model.life_signs import LifeSigns

SILENT_AFTER_S = 60.0
"""How long a machine may take to its first word: firmware and boot loader are slow where they are emulated."""

_SERIAL = "console=ttyS"


@dataclass(frozen=True, slots=True)
class Quiet:
    """What is said of a node; `silent` where it has shown no sign of life for long enough to say so."""

    silent: bool
    since: datetime
    told: str
    hint: str

    def __str__(self) -> str:
        return f"{self.told} ({self.hint})"


def quiet(signs: LifeSigns | Unknown, domain: Domain) -> Quiet | None:
    """What a node without a login has shown; None where that is nothing, but its time is not over, or is unknown."""
    if isinstance(signs, Unknown):
        return None
    if signs.console_idle_s is not None:
        told = f"no login, but its console was written to, last {signs.console_idle_s:.0f} s ago"
        return Quiet(False, signs.started_at, told, "`node_console` shows what it does")
    if signs.age_s < SILENT_AFTER_S:
        return None
    began = "no sign of life since its memory was put back" if signs.restored else "no sign of life since its start"
    told = f"{began} {signs.age_s:.0f} s ago: nothing on its console, no login"
    if signs.packets:
        told += f" (though {signs.packets} packets came from its network card)"
    return Quiet(True, signs.started_at, told, f"look at {'; '.join(_suspects(signs, domain))}")


def _suspects(signs: LifeSigns, domain: Domain) -> Iterator[str]:
    """What can keep a machine silent, the likeliest first, as far as it applies to this one."""
    runs = signs.packets > 0 or signs.restored
    if domain.virt_type == "kvm" and not runs:
        yield "KVM: `vmcluster doctor` tells what it is worth here, and `virt_type: qemu` in the topology does without"
    if domain.boot is not None and _SERIAL not in domain.boot.cmdline:
        yield f"`boot.cmdline`, which has no `{_SERIAL}0`: the kernel says nothing where it can be seen"
    elif domain.boot is not None and not runs:
        yield "`boot.kernel` and `boot.initrd`: whether they are for this CPU and this image"
    elif domain.boot is None:
        firmware = domain.firmware.upper()
        yield f"`base_image`: whether it boots by {firmware}, with `{_SERIAL}0` on its kernel's command line"
    if runs:
        yield "its sshd and its address: something runs in it"
    else:
        yield f"`memory_mb`: whether {domain.memory_mb} MiB are enough"
