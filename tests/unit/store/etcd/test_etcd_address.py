from pathlib import Path

import pytest

from reconciler.store.etcd.etcd_address import EtcdAddress, EtcdCredentials, EtcdMember

FILE = Path("/etc/vmcluster/file")


@pytest.mark.parametrize(
    ("url", "members", "user"),
    [
        ("etcd://a:2379", [("a", 2379)], None),
        ("etcd://a", [("a", 2379)], None),
        ("etcd://10.0.0.1:1,10.0.0.2:65535/", [("10.0.0.1", 1), ("10.0.0.2", 65535)], None),
        ("etcd://[::1]:2379,[fe80::1]", [("::1", 2379), ("fe80::1", 2379)], None),
        ("etcd://vm-cluster@etcd-0.lab.example:2379", [("etcd-0.lab.example", 2379)], "vm-cluster"),
    ],
)
def test_an_address_names_members_and_a_user(url: str, members: list[tuple[str, int]], user: str | None) -> None:
    assert EtcdAddress.parse(url) == EtcdAddress(tuple(EtcdMember(*of) for of in members), user)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://a:2379", "is not the address of an etcd"),
        ("etcd://", "'' is not a host with a port"),
        ("etcd://a,,b", "'' is not a host with a port"),
        ("etcd://a:0", "no port between 1 and 65535"),
        ("etcd://a:65536", "no port between 1 and 65535"),
        ("etcd://a:b", "is not a host with a port"),
        ("etcd://a/b", "is not a host with a port"),
        ("etcd://a?b", "is not a host with a port"),
        ("etcd://-a", "is not a host with a port"),
        ("etcd://user:secret@a", "before '@a' is not a user name .a password belongs in its own file"),
        ("etcd://secret@a/b@c", "before '@c' is not a user name"),
        ("http://user:secret@a:2379", "'a:2379' is not the address of an etcd"),
    ],
)
def test_what_is_no_address_is_refused_with_the_remedy(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        EtcdAddress.parse(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "credentials", "said"),
    [
        ("etcd://127.0.0.1,[::1],localhost", EtcdCredentials(), None),
        (
            "etcd://127.0.0.1,10.0.0.1:1",
            EtcdCredentials(),
            "10.0.0.1:1: an etcd on another host is reached with TLS only",
        ),
        ("etcd://localhost.example", EtcdCredentials(), "TLS only"),
        ("etcd://10.0.0.1", EtcdCredentials(ca_file=FILE), None),
        ("etcd://10.0.0.1", EtcdCredentials(ca_file=FILE, cert_file=FILE), "belong together"),
        ("etcd://u@localhost", EtcdCredentials(), "`store_password_file` belong together"),
        ("etcd://localhost", EtcdCredentials(password_file=FILE), "belong together"),
        ("etcd://u@localhost", EtcdCredentials(password_file=FILE), None),
    ],
)
def test_nothing_but_loopback_is_spoken_to_without_tls(
    url: str, credentials: EtcdCredentials, said: str | None
) -> None:
    problem = EtcdAddress.parse(url).problem(credentials)
    assert (problem is None) if said is None else (said in (problem or ""))
