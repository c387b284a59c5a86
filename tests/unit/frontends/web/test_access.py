"""Who is let in, and for how long."""

import pytest

from reconciler.frontends.web.access import CODE_S, SESSION_S, Access, is_for_us, is_own_page

TOKEN = "t" * 32


class Clock:
    """Says what it is told to say."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(clock: Clock) -> Access:
    return Access(TOKEN, clock)


def test_a_code_lets_one_browser_in_once(access: Access) -> None:
    code = access.new_code()
    session = access.session_for(code)
    assert session is not None
    assert access.lets_in(session)
    assert access.session_for(code) is None
    assert not access.lets_in(code)


def test_a_code_no_longer_works_after_five_minutes(access: Access, clock: Clock) -> None:
    code = access.new_code()
    clock.now_s = CODE_S + 1
    assert access.session_for(code) is None


def test_a_session_lasts_as_long_as_it_is_used(access: Access, clock: Clock) -> None:
    session = access.session_for(TOKEN)
    assert session is not None
    for _ in range(3):
        clock.now_s += SESSION_S - 1
        assert access.lets_in(session)
    clock.now_s += SESSION_S + 1
    assert not access.lets_in(session)


def test_a_session_is_no_token_and_no_code(access: Access) -> None:
    session = access.session_for(TOKEN)
    assert session is not None
    assert not access.holds_token(session)
    assert access.session_for(session) is None


def test_what_is_remembered_is_bounded_and_the_oldest_is_forgotten(access: Access, clock: Clock) -> None:
    first = access.new_code()
    for _ in range(500):
        clock.now_s += 0.001
        access.new_code()
    assert len(access._codes) == 100
    assert access.session_for(first) is None


@pytest.mark.parametrize("secret", ["", "t" * 31, "t" * 33, "é", "\x00", "\ud800"])
def test_anything_else_lets_nobody_in(access: Access, secret: str) -> None:
    assert not access.lets_in(secret)
    assert access.session_for(secret) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8765", "localhost:1", "[::1]:8765", "127.8.9.1"])
def test_a_request_to_the_loopback_interface_is_for_us(host: str) -> None:
    assert is_for_us(host)


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "localhost.evil.example", "192.0.2.1:80", "[::1", "a@b", ":1"]
)
def test_a_request_to_any_other_name_is_not(host: str | None) -> None:
    assert not is_for_us(host)


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (None, True),
        ("http://localhost:1", True),
        ("http://localhost:2", False),
        ("https://localhost:1", False),
        ("null", False),
    ],
)
def test_only_the_own_page_asks(origin: str | None, own: bool) -> None:
    assert is_own_page(origin, "localhost:1", "http") is own
