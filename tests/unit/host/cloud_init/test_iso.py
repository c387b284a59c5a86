import subprocess
from io import BytesIO
from pathlib import Path

import pycdlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.host.cloud_init.iso import parse_iso, render_iso

FILES = {"meta-data": "a: 1\n", "user-data": "#cloud-config\n" * 500, "network-config": "", "hosts": "größe\n"}


def test_an_image_has_the_label_and_the_names_that_cloud_init_looks_for(tmp_path: Path) -> None:
    (tmp_path / "seed.iso").write_bytes(render_iso(FILES))
    iso = pycdlib.PyCdlib()
    iso.open(str(tmp_path / "seed.iso"))
    content = BytesIO()
    iso.get_file_from_iso_fp(content, rr_path="/user-data")
    assert content.getvalue().decode() == FILES["user-data"]
    iso.close()
    probed = subprocess.run(["blkid", "-p", "-o", "export", tmp_path / "seed.iso"], check=True, capture_output=True)
    assert {b"LABEL=cidata", b"TYPE=iso9660"} <= set(probed.stdout.splitlines())


def test_an_image_is_read_back_as_it_was_made() -> None:
    assert parse_iso(render_iso(FILES)) == FILES


@given(st.binary(max_size=200))
def test_what_is_no_image_is_a_value_error(image: bytes) -> None:
    with pytest.raises(ValueError, match="not a seed image"):
        parse_iso(image)


def test_an_image_cut_anywhere_is_read_or_a_value_error() -> None:
    image = render_iso(FILES)
    for length in range(0, len(image), 512):
        try:
            files = parse_iso(image[:length])
        except ValueError:
            continue
        assert set(files) <= set(FILES)
