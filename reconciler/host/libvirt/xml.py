"""Converts between text and elements of libvirt's XML."""

import xml.etree.ElementTree as ET


def parse_element(text: str) -> ET.Element:
    """The root element of text from libvirtd; an empty one if the text is not XML, as then nothing in it is ours."""
    try:
        return ET.fromstring(text)  # noqa: S314 - the text comes from libvirtd, not from a user
    except ET.ParseError:
        return ET.Element("unreadable")


def element_text(element: ET.Element) -> str:
    """An element as text for libvirtd."""
    return ET.tostring(element, encoding="unicode")
