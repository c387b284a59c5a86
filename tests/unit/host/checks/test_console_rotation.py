"""Who keeps console logs short, as libvirt's configuration says."""

from pathlib import Path

import pytest

from reconciler.host.checks.console_rotation import check_consoles
from reconciler.model.examination import CheckOutcome


@pytest.mark.parametrize(
    ("qemu", "virtlogd", "verdict", "words"),
    [
        (None, None, CheckOutcome.OK, "8 MiB"),
        ('#stdio_handler = "file"\n', "max_size = 1048576\nmax_backups = 1\n", CheckOutcome.OK, "2 MiB"),
        ('stdio_handler = "file"\n', None, CheckOutcome.WARNING, 'stdio_handler = "file"'),
        ('stdio_handler = "logd"\n', " max_size=0\n", CheckOutcome.WARNING, "max_size = 0"),
    ],
)
def test_a_console_that_nobody_rotates_is_a_warning(
    tmp_path: Path, qemu: str | None, virtlogd: str | None, verdict: CheckOutcome, words: str
) -> None:
    for name, text in (("qemu.conf", qemu), ("virtlogd.conf", virtlogd)):
        if text is not None:
            (tmp_path / name).write_text(text)
    found = check_consoles(64, tmp_path)
    assert found.verdict is verdict
    assert words in found.message
