"""What is refused before any node is asked."""

from pathlib import Path

import pytest

from reconciler.errors import InvalidArgument
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases.transfers import Transfers


async def test_a_file_does_not_take_the_name_of_a_directory(tmp_path: Path) -> None:
    source = tmp_path / "tool"
    source.write_text("tool")
    settings = Settings(state_dir=tmp_path / "state", libvirt_uri="qemu+unix:///system?socket=/nonexistent")
    async with Runtime(settings) as runtime:
        with pytest.raises(InvalidArgument, match=r"/opt/bin/ is the name of a directory.*such as /opt/bin/tool"):
            await Transfers(runtime).push("lab", source, "/opt/bin/")


async def test_a_copy_into_a_directory_is_refused_with_the_name_that_it_would_have_there(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", libvirt_uri="qemu+unix:///system?socket=/nonexistent")
    async with Runtime(settings) as runtime:
        with pytest.raises(InvalidArgument, match=r"\. is an existing directory.*such as syslog"):
            await Transfers(runtime).pull("lab", "n0", "/var/log/syslog", Path())
