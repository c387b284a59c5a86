"""Describes a node that runs and accepts no login: what it has shown since its start, and what to check. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from reconciler.model.document import Domain, Unknown
from reconciler.model.life_signs import LifeSigns

SILENT_AFTER_S = 60.0
"""How long a machine may take to its first output: firmware and boot loader are slow under emulation."""

_SERIAL = "console=ttyS"


@dataclass(frozen=True, slots=True)
class Quiet:
    """The description of a node; `silent` if it has shown no sign of life for too long."""

    silent: bool
    since: datetime
    told: str
    hint: str

    def __str__(self) -> str:
        return f"{self.told} ({self.hint})"


def quiet(signs: LifeSigns | Unknown, domain: Domain) -> Quiet | None:
    """What a node without a login has shown; None if that is nothing so far, but it has time left, or its start is
    unknown.
    """
    if isinstance(signs, Unknown):
        return None
    if signs.console_idle_s is not None:
        told = f"its console was last written to {signs.console_idle_s:.0f} s ago"
        return Quiet(False, signs.started_at, told, "see its console with `node_console`")
    if signs.age_s < SILENT_AFTER_S:
        return None
    began = "no sign of life since its memory was restored" if signs.restored else "no sign of life since its start"
    told = f"{began} {signs.age_s:.0f} s ago: nothing on its console, no login"
    if signs.packets:
        told += f" (though {signs.packets} packets came from its network card)"
    return Quiet(True, signs.started_at, told, f"check {'; '.join(_suspects(signs, domain))}")


def remedy_of(found: Quiet | None, cluster: str) -> str:
    """What to do about a node that runs without a login: wait on, unless it is silent for no good reason."""
    if found and found.silent:
        return found.hint
    seen = found.hint if found else "see its console with `node_console`"
    return f'`cluster_wait(cluster_name="{cluster}", condition="SSHReachable")` goes on waiting; {seen}'


def _suspects(signs: LifeSigns, domain: Domain) -> Iterator[str]:
    """What can keep this machine silent, most likely causes first."""
    runs = signs.packets > 0 or signs.restored
    if domain.virt_type == "kvm" and not runs:
        yield "KVM: `host_doctor` measures it, and `virt_type: qemu` in the topology avoids it"
    if domain.boot is not None and _SERIAL not in domain.boot.cmdline:
        yield f"`boot.cmdline`, which has no `{_SERIAL}0`: the kernel prints nothing to the console"
    elif domain.boot is not None and not runs:
        yield "whether `boot.kernel` and `boot.initrd` are for this CPU and this image"
    elif domain.boot is None:
        firmware = domain.firmware.upper()
        yield f"whether `base_image` boots with {firmware}, and has `{_SERIAL}0` on its kernel's command line"
    if runs:
        yield "its sshd and its address, because something runs in it"
    else:
        yield f"whether {domain.memory_mb} MiB of `memory_mb` are enough"
