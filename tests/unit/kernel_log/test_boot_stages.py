"""How far a boot is, told from the console."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kernel_log.boot_stages import OTHER, boot_stage

BOOT = (
    (b"\x1bc\x1b[?7lSeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n", "firmware"),
    (b"GRUB loading.\r\nBooting `Debian GNU/Linux'\r\n", "boot loader"),
    (b"[    0.000000] Linux version 6.1.0-18-cloud-amd64 (debian-kernel@lists.debian.org)\r\n", "kernel"),
    (b"Loading, please wait...\r\nBegin: Running /scripts/init-premount ... done.\r\n", "initial ramdisk"),
    (b"[    4.205113] systemd[1]: Detected virtualization kvm.\r\nWelcome to Debian!\r\n", "services"),
    (b"[    9.1] cloud-init[301]: Cloud-init v. 22.4.2 running 'init-local' at Mon.\r\n", "cloud-init: init-local"),
    (b"[   14.8] cloud-init[420]: Cloud-init v. 22.4.2 running 'modules:config' at\r\n", "cloud-init: modules:config"),
    (b"[   19.4] cloud-init[500]: Cloud-init v. 22.4.2 finished at Mon, 30 Nov\r\n", "cloud-init: done"),
    (b"\r\nDebian GNU/Linux 12 n0 ttyS0\r\n\r\nn0 login: ", "login prompt"),
)


@pytest.mark.parametrize("end", range(len(BOOT)))
def test_a_console_shows_the_last_stage_that_it_reached(end: int) -> None:
    printed = b"".join(text for text, _stage in BOOT[: end + 1])
    assert boot_stage(printed) == BOOT[end][1]
    assert boot_stage(BOOT[end][0]) == BOOT[end][1]


def test_a_console_without_a_known_line_is_alive_and_one_without_a_line_is_not() -> None:
    assert boot_stage(b"[ warn ] odd\r\n") == OTHER
    assert boot_stage(b"\r\n") is None


@given(st.binary())
def test_any_bytes_have_a_stage_of_a_few_printable_words_or_none(printed: bytes) -> None:
    stage = boot_stage(b"Cloud-init v. 1 running '" + printed + b"'")
    assert stage is None or (stage.isprintable() and len(stage) < 60)
