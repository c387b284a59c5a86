"""The key that nodes accept is one with which all our logins succeed."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.desired.public_key import PublicKeyUnusable, read_public_key

from .files import locked_key, make_key, write_key


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def in_openssh_form(public: bytes) -> bytes:
    """A private key as far as its public half."""
    parts = (b"none", b"none", b"")
    fields = [len(part).to_bytes(4, "big") + part for part in parts] + [(1).to_bytes(4, "big")]
    content = b"openssh-key-v1\0" + b"".join(fields) + len(public).to_bytes(4, "big") + public
    name = b"OPENSSH PRIVATE KEY-----\n"
    return b"-----BEGIN " + name + base64.b64encode(content) + b"\n-----END " + name


def refusal(path: Path) -> str:
    with pytest.raises(PublicKeyUnusable) as refused:
        read_public_key(path)
    return str(refused.value)


@pytest.mark.parametrize(
    "options",
    [("-t", "ed25519"), ("-t", "ecdsa"), ("-t", "rsa", "-b", "2048"), ("-t", "rsa", "-b", "2048", "-m", "PEM"),
     ("-t", "ecdsa", "-m", "PKCS8")],
    ids=" ".join,
)  # fmt: skip
def test_the_public_half_is_in_the_private_key_of_every_kind(options: tuple[str, ...], tmp_path: Path) -> None:
    from asyncssh import import_private_key

    private = make_key(*options, "-N", "")
    expected = import_private_key(private).export_public_key().decode().split()[:2]
    assert read_public_key(written(tmp_path / "key", private)).split()[:2] == expected


@pytest.mark.parametrize("options", [(), ("-t", "rsa", "-m", "PEM"), ("-t", "rsa", "-m", "PKCS8")], ids=" ".join)
def test_a_key_with_a_passphrase_is_refused_in_every_form(options: tuple[str, ...], tmp_path: Path) -> None:
    private = make_key(*options, "-b", "2048", "-N", "secret") if options else locked_key()
    path = written(tmp_path / "key", private)
    assert f"{path} has a passphrase" in refusal(path)


def test_a_key_that_ssh_would_refuse_is_refused_with_what_helps(tmp_path: Path) -> None:
    key, other = write_key(tmp_path / "key"), write_key(tmp_path / "other")
    assert "is a public key (use" in refusal(tmp_path / "key.pub")
    (tmp_path / "key.pub").write_bytes((tmp_path / "other.pub").read_bytes())
    assert f"ssh-keygen -y -f {key}" in refusal(key)
    for mode in (0o640, 0o604, 0o620):
        other.chmod(mode)
        assert f"(mode {mode:04o}), so ssh refuses it (`chmod 600 {other}`)" in refusal(other)
    (tmp_path / "a${HOME}").mkdir()
    assert "reads as a variable" in refusal(write_key(tmp_path / "a${HOME}" / "key"))
    damaged = written(tmp_path / "damaged", key.read_bytes().replace(b"b3BlbnNz", b"AAAAAAAA", 1))
    assert "is not an SSH private key: it is damaged" in refusal(damaged)


def test_a_key_that_ssh_does_not_read_is_refused_with_what_makes_it_one(tmp_path: Path) -> None:
    putty = written(tmp_path / "mine.ppk", b"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n")
    assert f"`puttygen {putty} -O private-openssh -o {tmp_path}/mine.openssh`" in refusal(putty)
    (tmp_path / "directory").mkdir()
    assert "not a regular file (correct the path" in refusal(tmp_path / "directory")
    assert f"(create one: `ssh-keygen -t ed25519 -N '' -f {tmp_path}/none`)" in refusal(tmp_path / "none")
    small = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 96))
    assert "has 768 bits, too few for SSH servers" in refusal(written(tmp_path / "small", in_openssh_form(small)))


def test_a_key_of_another_user_may_be_as_open_as_they_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = write_key(tmp_path / "key")
    key.chmod(0o644)
    monkeypatch.setattr("os.getuid", lambda: key.stat().st_uid + 1)
    assert read_public_key(key) == (tmp_path / "key.pub").read_text().strip()


@pytest.mark.parametrize(
    ("spoil", "remedy"),
    [
        (lambda key: key.replace(b"\n", b"\r\n"), "has DOS line endings, which ssh does not read (`sed -i"),
        (lambda key: key.rstrip(b"\n"), "ends without a newline, which ssh does not read (`echo >> "),
        (lambda key: b"\n\n" + key, "which ssh requires (remove what precedes it)"),
        (lambda key: b"# mine\n" + key, "which ssh requires (remove what precedes it)"),
        (lambda key: key.replace(b"\n", b" "), "which ssh requires"),
    ],
)
def test_a_key_that_only_other_programs_can_read_is_refused(
    spoil: Callable[[bytes], bytes], remedy: str, tmp_path: Path
) -> None:
    private = write_key(tmp_path / "key").read_bytes()
    assert remedy in refusal(written(tmp_path / "spoilt", spoil(private)))
    assert read_public_key(written(tmp_path / "whole", private + b"\n\n# the end\n")).startswith("ssh-ed25519 ")


@pytest.mark.parametrize(
    ("algorithm", "form", "why"),
    [
        ("ssh-dss", "openssh", "is of type ssh-dss, which SSH servers refuse (use another key"),
        ("ssh-ed448", "openssh", "is of type ssh-ed448, which SSH servers refuse"),
        ("ssh-ed25519", "pkcs8-pem", "OpenSSH before 9.6 does not read Ed25519 keys of this form"),
    ],
)
def test_a_key_that_no_login_succeeds_with_is_refused(algorithm: str, form: str, why: str, tmp_path: Path) -> None:
    from asyncssh import generate_private_key

    private = generate_private_key(algorithm).export_private_key(form)
    assert why in refusal(written(tmp_path / "key", private))
