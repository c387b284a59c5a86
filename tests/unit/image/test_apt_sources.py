from reconciler.image.apt_sources import guest_sources, kept_acquire_options, parse_sources

DEB822 = """\
# A comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/security
Suites: trixie-security
Components: main
"""


def test_both_formats_say_the_same_of_an_archive() -> None:
    one_line = "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian trixie main contrib\n"
    place = "URIs: http://mirror.example/debian\nSuites: trixie\n"
    stanza = f"Types: deb\n{place}Components: main\n contrib\nSigned-By: /k.gpg\n"
    assert parse_sources(one_line) == parse_sources(stanza) != []


def test_the_hosts_archives_are_told_again_for_the_guests_release() -> None:
    signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
    assert guest_sources([DEB822], "trixie", "bookworm") == [
        f"deb {signed}http://mirror.example/debian bookworm main contrib",
        f"deb {signed}http://mirror.example/debian bookworm-updates main contrib",
        "deb http://mirror.example/security bookworm-security main",
    ]


def test_an_archive_named_in_two_files_is_told_once() -> None:
    line = "deb http://mirror.example/debian bookworm main"
    assert guest_sources([line, line + "\n"], "bookworm", "bookworm") == [line]


def test_archives_of_others_are_left_out() -> None:
    vendor = "deb https://vendor.example/apt tool-bookworm main\ndeb https://vendor.example/x bookworm stable\n"
    assert guest_sources([vendor], "bookworm", "bookworm") == []


def test_without_the_release_itself_its_updates_are_of_no_use() -> None:
    assert guest_sources(["deb http://mirror.example/debian bookworm-updates main"], "bookworm", "bookworm") == []


def test_what_is_switched_off_is_not_used() -> None:
    off = "Enabled: no\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"
    sources = "#deb http://mirror.example/debian bookworm main\ndeb-src http://mirror.example/debian bookworm main\n"
    assert parse_sources(off) == parse_sources(sources) == []


def test_a_key_that_stands_in_the_file_is_not_taken_for_a_path() -> None:
    stanza = (
        "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n"
    )
    (source,) = parse_sources(stanza)
    assert source.signed_by is None


def test_only_what_decides_whether_an_archive_is_reached_is_taken_from_apts_configuration() -> None:
    dump = (
        'APT::Architecture "amd64";\nAcquire::http::Proxy "http://cache.example:3142";\n'
        'Acquire::http::Proxy::mirror.example "DIRECT";\nAcquire::Check-Date "false";\nAcquire::Languages "none";\n'
        'DPkg::Post-Invoke:: "rm -rf /";\n'
    )
    assert kept_acquire_options(dump) == [
        'Acquire::http::Proxy "http://cache.example:3142";',
        'Acquire::http::Proxy::mirror.example "DIRECT";',
        'Acquire::Check-Date "false";',
    ]
