from pathlib import Path

from reconciler.image import overlay
from reconciler.image.overlay import ROOT, kernel_command_line, overlay_files


def test_every_file_below_root_is_laid_over_with_its_mode_and_every_masked_one_is_a_link() -> None:
    found = {file.path: file for file in overlay_files()}
    assert found["usr/lib/cloud-init/final-stage"].mode == 0o755
    assert found["boot/grub/grub.cfg"].mode == 0o644
    assert found["boot/grub/grub.cfg"].content == (ROOT / "files/boot/grub/grub.cfg").read_bytes()
    assert found["etc/systemd/system/apt-daily.timer"].link_to == "/dev/null"
    assert not [path for path in found if "#" in path or path != path.strip()]
    assert len(found) == len(overlay_files())


def test_the_kernel_command_line_is_the_boot_loaders() -> None:
    assert kernel_command_line().startswith("root=/dev/vda1 rw console=ttyS0 ")


def test_what_an_installer_compiles_beside_a_program_is_no_part_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    for name in ("program.py", "__pycache__/program.cpython-311.pyc"):
        (tmp_path / name).write_text("compiled here")
    assert [file.path for file in overlay._files_below(tmp_path, 0o755)] == ["program.py"]
