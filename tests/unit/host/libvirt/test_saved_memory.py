"""The head of a saved memory; the sample is the beginning of a file that libvirt 9.0.0 saved."""

import struct

import pytest

from reconciler.host.libvirt.saved_memory import HEADER_BYTES, MAGIC, parse_head, saved_xml, with_xml

XML, COOKIE = "<domain type='qemu'/>", b"<cookie>\n  <slirpHelper/>\n</cookie>\n\0\0\0"
DATA = XML.encode() + b"\0" + COOKIE
HEADER = struct.pack("=16sIIIII", MAGIC, 2, len(DATA), 1, 0, len(XML) + 1).ljust(92, b"\0")


def test_the_xml_of_a_saved_memory_is_read() -> None:
    head = parse_head(HEADER + DATA + b"QEVM")
    assert (HEADER_BYTES, head.length) == (92, len(DATA))
    assert saved_xml(head, DATA) == XML


@pytest.mark.parametrize("xml", ["<domain/>", "<domain><name>a node with a longer name</name></domain>"])
def test_another_xml_of_any_length_is_put_before_the_same_memory(xml: str) -> None:
    written = with_xml(parse_head(HEADER), DATA, xml)
    head, data = parse_head(written), written[HEADER_BYTES:]
    assert head.length == len(data), "QEMU's data follows at once"
    assert saved_xml(head, data) == xml
    assert data[head.cookie_at :] == COOKIE
    assert not head.was_running, "it is restored paused"


@pytest.mark.parametrize(
    "header",
    [
        HEADER[:91],
        b"LibvirtQemudPart" + HEADER[16:],
        HEADER[:16] + struct.pack("=I", 3) + HEADER[20:],
        HEADER[:28] + struct.pack("=I", 2) + HEADER[32:],
    ],
    ids=["cut off", "incomplete", "a later version", "compressed"],
)
def test_what_is_no_complete_plain_save_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError, match="it"):
        parse_head(header)
