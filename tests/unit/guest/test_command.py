"""The text sent to a login shell, checked against real shells, and the buffers of its output."""

import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.errors import InvalidArgument
from reconciler.guest.command import (
    COMMAND_LIMIT_BYTES,
    MarkedStream,
    OutputBuffer,
    begin_mark,
    group_mark,
    quoted_prefix,
    render_own,
    render_script,
)

TOKEN = "0123456789abcdef"
SHELLS = [shell for shell in ("bash", "dash", "sh") if shutil.which(shell)]
LOGIN_SHELLS = [shell for shell in (*SHELLS, "zsh", "tcsh", "fish") if shutil.which(shell)]


def errors_of(limit_bytes: int = 1000) -> MarkedStream:
    return MarkedStream(limit_bytes, group_mark(TOKEN))


def group_of(stream: MarkedStream) -> int | None:
    return int(stream.found[1]) if stream.found else None


def run_in(shell: str, script: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([shell, "-c", script], capture_output=True, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_says_its_process_number_first_on_standard_error(shell: str) -> None:
    done = run_in(shell, render_script("echo $$; echo problem >&2", {}, TOKEN))
    buffer = errors_of()
    buffer.feed(done.stderr)
    assert group_of(buffer) == int(done.stdout)
    assert buffer.output.text() == "problem\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_on_several_lines_with_quotes_runs_as_written(shell: str) -> None:
    command = "cat <<'END'\n$HOME \"quoted\" 'single' `x` \\\nEND\n# comment\nprintf '%s' \"a  b\""
    assert run_in(shell, render_script(command, {}, TOKEN)).stdout == run_in(shell, command).stdout


def test_line_numbers_in_messages_are_those_of_the_command() -> None:
    done = run_in("bash", render_script("echo $LINENO\necho $LINENO", {"A": "b"}, TOKEN))
    assert done.stdout == b"1\n2\n"


def test_bash_replaces_itself_by_the_last_command_so_that_no_process_is_added() -> None:
    done = run_in("bash", render_script("readlink /proc/self/stat >/dev/null; sh -c 'echo $$'", {}, TOKEN))
    buffer = errors_of()
    buffer.feed(done.stderr)
    assert group_of(buffer) == int(done.stdout)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
def test_any_text_reaches_the_command_as_the_value_of_a_variable(value: str) -> None:
    done = run_in("sh", render_script('printf %s "$V"', {"V": value}, TOKEN))
    assert done.stdout == value.encode()


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A;reboot", "A=B", "$(reboot)", "Ä", "A\n", "UID", "PPID"])
def test_a_name_that_a_shell_cannot_export_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        render_script("true", {name: "x"}, TOKEN)


@pytest.mark.parametrize(("command", "value"), [("a\0b", "x"), ("true", "a\0b"), ("\ud800", "x"), ("true", "\ud800")])
def test_what_no_shell_can_be_given_is_refused(command: str, value: str) -> None:
    with pytest.raises(InvalidArgument):
        render_script(command, {"A": value}, TOKEN)


def test_a_command_longer_than_linux_allows_is_refused_with_a_way_out() -> None:
    with pytest.raises(InvalidArgument, match="standard input"):
        render_script("x" * COMMAND_LIMIT_BYTES, {}, TOKEN)


def test_the_group_line_is_found_in_pieces_and_behind_noise_of_start_up_files() -> None:
    buffer = errors_of()
    for piece in (b"warning: locale\nvmclus", b"ter-group:", TOKEN.encode(), b":42", b"\nreal error"):
        buffer.feed(piece)
    assert (group_of(buffer), buffer.output.text()) == (42, "warning: locale\nreal error")


@pytest.mark.parametrize("env", [{}, {"A": "secret"}, {"A": "two\nlines", "B": "`"}])
@pytest.mark.parametrize("command", [")", "echo ok; fi", "for", "}\n", "echo 'open", "echo ok\n)", "(\n)"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_cannot_parse_a_command_quotes_the_command_alone(
    shell: str, command: str, env: dict[str, str]
) -> None:
    done = run_in(shell, render_script(command, env, TOKEN))
    stream = MarkedStream(1000, group_mark(TOKEN), quoted=quoted_prefix(env, TOKEN))
    stream.feed(done.stderr)
    stream.flush()
    said = stream.output.text()
    assert said
    assert not any(text in said for text in ("vmcluster", TOKEN, "secret", "lines", "export"))
    if shell == "bash" and not env:
        assert said == run_in(shell, command).stderr.decode()


def test_what_a_command_prints_itself_is_left_as_it_is() -> None:
    quoted = quoted_prefix({}, TOKEN)
    stream = MarkedStream(1000, group_mark(TOKEN), quoted=quoted)
    stream.feed(f"vmcluster-group:{TOKEN}:42\n".encode() + quoted)
    assert stream.output.text() == quoted.decode()


def test_a_group_line_with_another_token_is_output() -> None:
    buffer = errors_of()
    buffer.feed(b"vmcluster-group:ffffffffffffffff:42\n")
    buffer.flush()
    assert (group_of(buffer), buffer.output.text()) == (None, "vmcluster-group:ffffffffffffffff:42\n")


def test_the_limit_does_not_count_the_group_line() -> None:
    buffer = errors_of(3)
    buffer.feed(f"vmcluster-group:{TOKEN}:42\nabc".encode())
    assert (buffer.output.text(), buffer.output.truncated) == ("abc", False)


def test_output_of_exactly_the_limit_is_not_truncated_and_one_byte_more_is() -> None:
    buffer = OutputBuffer(4)
    buffer.feed(b"abcd")
    assert not buffer.truncated
    buffer.feed(b"e")
    assert (buffer.text(), buffer.truncated) == ("ab\n[… 1 bytes omitted …]\nde", True)


@pytest.mark.parametrize("piece_bytes", [1, 3, 1000])
def test_of_a_long_output_beginning_and_end_are_kept_and_the_rest_is_counted(piece_bytes: int) -> None:
    buffer = OutputBuffer(10)
    said = b"begin" + b"x" * 500 + b"end!!"
    for at in range(0, len(said), piece_bytes):
        buffer.feed(said[at : at + piece_bytes])
    assert (buffer.text(), buffer.omitted_bytes) == ("begin\n[… 500 bytes omitted …]\nend!!", 500)


def test_a_character_cut_by_the_limit_is_left_out_and_other_broken_bytes_are_shown() -> None:
    buffer = OutputBuffer(8)
    buffer.feed(b"\xffa" + "€".encode() + b"---" + "€".encode() + b"ab")
    assert buffer.text() == "\ufffda\n[… 5 bytes omitted …]\nab"
    assert buffer.replaced


@pytest.mark.parametrize("text", ["", "plain", "\ufffd of the command's own", "ab€"])
def test_only_what_was_not_text_counts_as_replaced(text: str) -> None:
    buffer = OutputBuffer(100)
    buffer.feed(text.encode())
    assert not buffer.replaced


def test_a_listener_gets_what_was_held_back_while_the_group_line_was_looked_for() -> None:
    heard: list[bytes] = []
    buffer = MarkedStream(0, group_mark(TOKEN), heard.append)
    for piece in (b"\xff noise\nvmcluster-", f"group:{TOKEN}:42\n".encode(), b"er", b"ror"):
        buffer.feed(piece)
    buffer.flush()
    assert (heard, group_of(buffer)) == ([b"\xff noise\n", b"er", b"ror"], 42)


@pytest.mark.parametrize("shell", LOGIN_SHELLS)
def test_a_script_of_our_own_means_the_same_in_every_login_shell(shell: str) -> None:
    script = """x="a!b"; printf '%s\\n' "$x" "$1" '\\t%d'; for i in 1 2; do echo $i
done # {}~*?[]|&<>() ü
cat <<END
`echo said` \\$x
END"""
    done = run_in(shell, render_own(script, TOKEN) + " word")
    out, err = MarkedStream(1000, begin_mark(TOKEN)), errors_of()
    out.feed(done.stdout)
    err.feed(done.stderr)
    assert out.output.text() == "a!b\nword\n\\t%d\n1\n2\nsaid $x\n"
    assert (out.found is not None, group_of(err) is not None, err.output.text()) == (True, True, "")


def test_what_a_start_up_file_prints_is_dropped_with_all_its_look_alikes() -> None:
    stream = MarkedStream(1000, begin_mark(TOKEN), drop_before=True)
    for piece in (b"x" * 200_000, b"\nvmcluster-begin:ffff\nvmcluster-be", f"gin:{TOKEN}\nours".encode(), b" too"):
        stream.feed(piece)
    assert stream.output.text() == "ours too"


def test_bash_functions_of_the_user_are_no_part_of_our_scripts() -> None:
    command = render_own("cd /; printf %s kept", TOKEN)
    tricked = "cd() { echo fooled; }; printf() { echo fooled; }; export -f cd printf; " + command
    assert run_in("bash", tricked).stdout.endswith(b"\nkept")
