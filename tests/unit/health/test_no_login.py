"""What is said of a node that runs and takes no login."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.health.no_login import SILENT_AFTER_S, quiet, remedy_of
from reconciler.model.document import DirectBoot, Domain, Unknown
from reconciler.model.life_signs import LifeSigns

SILENT = LifeSigns(datetime(2026, 11, 29, tzinfo=UTC), age_s=75.2, restored=False, console_idle_s=None, packets=0)
DOMAIN = Domain(
    uuid="u",
    role="worker",
    vcpus=1,
    memory_mb=96,
    virt_type="qemu",
    cpu="maximum",
    disks={},
    network="net",
    mac="52:00:00:00:00:01",
    tap="vmc-a",
    console=Path("/o/a.log"),
    template=1,
)


def booting(cmdline: str, virt_type: str = "qemu") -> Domain:
    boot = DirectBoot(kernel=Path("/k"), initrd=None, cmdline=cmdline)
    return DOMAIN.model_copy(update={"boot": boot, "virt_type": virt_type})


KVM = DOMAIN.model_copy(update={"virt_type": "kvm"})
NO_CONSOLE = "`boot.cmdline`, which has no `console=ttyS0`"


@pytest.mark.parametrize(
    ("seen", "domain", "looks", "not_looks"),
    [
        (SILENT, DOMAIN, ["`base_image`", "96 MiB"], ["KVM", "boot.cmdline"]),
        (SILENT, KVM, ["check KVM: `host_doctor`", "`virt_type: qemu`", "96 MiB"], ["boot.cmdline"]),
        (SILENT, booting("root=/dev/vda"), [NO_CONSOLE, "96 MiB"], ["KVM", "boot.kernel", "base_image"]),
        (SILENT, booting("root=/dev/vda console=ttyS0", "kvm"), ["KVM", "`boot.kernel`"], ["boot.cmdline"]),
        (replace(SILENT, packets=7), KVM, ["sshd", "base_image"], ["KVM", "MiB"]),
        (replace(SILENT, restored=True), KVM, ["sshd"], ["KVM", "MiB"]),
    ],
    ids=["emulated", "kvm", "no serial console", "direct kernel", "sends packets", "restored"],
)
def test_a_silent_node_is_told_with_what_to_look_at_of_this_node(
    seen: LifeSigns, domain: Domain, looks: list[str], not_looks: list[str]
) -> None:
    found = quiet(seen, domain)
    assert found is not None
    assert found.silent
    assert found.told.startswith("no sign of life since its ")
    assert "75 s ago: nothing on its console, no login" in found.told
    assert ("since its memory was restored" in found.told, "7 packets" in found.told) == (
        seen.restored,
        seen.packets > 0,
    )
    assert all(words in found.hint for words in looks), found.hint
    assert not any(words in found.hint for words in not_looks), found.hint


@pytest.mark.parametrize(
    ("seen", "silent"),
    [
        (replace(SILENT, age_s=SILENT_AFTER_S - 0.1), None),
        (replace(SILENT, age_s=SILENT_AFTER_S), True),
        (replace(SILENT, console_idle_s=300.0), False),
        (replace(SILENT, console_idle_s=1.0, age_s=2.0), False),
        (Unknown(unknown="no such process", code=ErrorCode.OPERATION_FAILED), None),
    ],
    ids=["young", "a minute old", "wrote long ago", "wrote just now", "unknown"],
)
def test_only_a_minute_of_silence_that_was_seen_is_called_that(seen: LifeSigns | Unknown, silent: bool | None) -> None:
    found = quiet(seen, DOMAIN)
    assert (found and found.silent) == silent
    if found and not found.silent:
        assert "console was last written to" in found.told
    assert ("goes on waiting" in remedy_of(found, "lab")) is not silent
