"""Which addresses are used, and how they are shown."""

import pytest

from reconciler.errors import InvalidArgument
from reconciler.image.web_address import require_safe, shown_address


@pytest.mark.parametrize(
    "url", ["https://example.org/a.img", "http://127.0.0.1:80/a", "http://localhost/a", "http://[::1]:8/a"]
)
def test_encrypted_addresses_and_those_on_this_host_are_used(url: str) -> None:
    require_safe(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.img",
        "ftp://example.org/a.img",
        "file:///etc/shadow",
        "https:///a.img",
        "http://127.0.0.1.example.org/a",
        "http://0x7f000001/a",
        "https://[::1/a",
    ],
)
def test_an_address_that_could_be_listened_to_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="address"):
        require_safe(url)


def test_a_password_is_neither_used_nor_shown() -> None:
    with pytest.raises(InvalidArgument, match=r"https://example\.org/a contains a user's name or password"):
        require_safe("https://me:secret@example.org/a?token=1")


@pytest.mark.parametrize("to", ["http://example.org/a", "https://127.0.0.1/a", "http://localhost/a"])
def test_no_other_host_leads_back_to_this_one_or_to_what_is_not_encrypted(to: str) -> None:
    with pytest.raises(InvalidArgument, match="redirects"):
        require_safe(to, "https://example.org/a")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://example.org:8443/a.img?sig=secret#x", "https://example.org:8443/a.img"),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]/a"),
        ("https://[::1/a?secret", "https://[::1/a"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(url: str, told: str) -> None:
    assert shown_address(url) == told
