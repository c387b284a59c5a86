"""The host and the image agree on how a machine is told to wait, and how it says that it does."""

from reconciler.host.cloud_init.iso import WAITING_LABEL, render_waiting_iso
from reconciler.image.overlay import overlay_files
from reconciler.templates.cloning import CANNOT_WAIT, READY

STAGE = "usr/lib/cloud-init/"


def test_the_image_knows_the_label_and_says_what_is_waited_for() -> None:
    content = {file.path: file.content for file in overlay_files()}
    for program in ("first-stage", "wait_for_identity.py"):
        assert f'b"{WAITING_LABEL}"'.encode() in content[STAGE + program]
    for words in (READY, CANNOT_WAIT):
        assert words in content[STAGE + "wait_for_identity.py"]


def test_the_label_is_where_the_image_reads_it() -> None:
    assert render_waiting_iso()[0x8028 : 0x8028 + 32].strip() == WAITING_LABEL.encode()
