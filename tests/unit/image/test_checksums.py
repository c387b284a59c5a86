"""Files of checksums, in each of the forms that publishers use."""

import hashlib

import pytest

from reconciler.image.checksums import Checksum, find_checksum, sha256

A, B = hashlib.sha256(b"a").hexdigest(), hashlib.sha256(b"b").hexdigest()
LONG = hashlib.sha512(b"a").hexdigest()
FEDORA = f"""\
-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

# Fedora-Cloud-Base-Generic-42-1.1.x86_64.qcow2: 532217856 bytes
SHA256 (Fedora-Cloud-Base-Generic-42-1.1.x86_64.qcow2) = {A}
# Fedora-Cloud-Base-UEFI-UKI-42-1.1.x86_64.qcow2: 1 bytes
SHA256 (Fedora-Cloud-Base-UEFI-UKI-42-1.1.x86_64.qcow2) = {B}
-----BEGIN PGP SIGNATURE-----

iQIzBAEBCAAdFiEE
-----END PGP SIGNATURE-----
"""


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (f"{B}  other.img\n{A}  disk.img\n", A),
        (f"{B} *other.img\n{A} *disk.img\n", A),
        (f"{A}  ./images/disk.img\r\n", A),
        (f"{A.upper()}  disk.img\n", A),
        (f"SHA256 (disk.img) = {A}\n", A),
        (f"{A}\n", A),
        (f"{A}  disk.img\n{A}  disk.img\n", A),
        (f"d41d8cd98f00b204e9800998ecf8427e  disk.img\n{A}  disk.img\n", A),
        (f"MD5 (disk.img) = d41d8cd98f00b204e9800998ecf8427e\nSHA256 (disk.img) = {A}\n", A),
    ],
)
def test_the_digest_of_a_file_is_found_among_others(text: str, digest: str) -> None:
    assert find_checksum(text, "disk.img") == Checksum("sha256", digest)


def test_the_strongest_digest_of_a_file_is_the_one_that_counts() -> None:
    text = f"{LONG}  disk.img\nSHA256 (disk.img) = {A}\n"
    assert find_checksum(text, "disk.img") == Checksum("sha512", LONG)


def test_a_signed_file_is_read_between_its_signature() -> None:
    assert find_checksum(FEDORA, "Fedora-Cloud-Base-Generic-42-1.1.x86_64.qcow2").digest == A


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no SHA-256, SHA-384 or SHA-512 of disk.img"),
        ("<html>not found</html>", "no SHA-256"),
        (f"{A}  disk.img.sig\n", "no SHA-256"),
        (f"{A}  a\n{B}\n", "no SHA-256"),
        (f"{A[:40]}  disk.img\n", "no SHA-256"),
        (f"{A}ab  disk.img\n", "no SHA-256"),
        (f"SHA512 (disk.img) = {A}\n", "no SHA-256"),
        (f"{A}  disk.img\n{B}  disk.img\n", "two different checksums"),
    ],
)
def test_a_text_that_does_not_say_what_a_file_is_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        find_checksum(text, "disk.img")


@pytest.mark.parametrize("given", [A, A.upper(), f"sha256:{A}", f" {A} "])
def test_a_digest_is_taken_as_users_have_it(given: str) -> None:
    assert sha256(given) == Checksum("sha256", A)


@pytest.mark.parametrize("given", ["", "abc", LONG, "g" * 64])
def test_what_is_no_digest_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is not a SHA-256 digest"):
        sha256(given)
