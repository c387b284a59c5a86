"""Contradictions inside a topology, where a file in `specs/invalid/` would be too long to read."""

from pathlib import Path

import pytest

from reconciler.desired.load import parse_topology

from .conftest import TOPOLOGY


def messages(text: str) -> list[str]:
    return [problem.at("f") for problem in parse_topology(text.encode(), Path("/t")).problems()]


@pytest.mark.parametrize(
    ("subnet", "address", "remedy"),
    [
        ("10.7.0.0/16", "10.8.0.1", "use an address from 10.7.0.2 to 10.7.255.254"),
        ("10.7.0.16/28", "10.7.0.40", "use an address from .18 to .30"),
        ("10.7.0.16/30", "10.7.0.20", "use 10.7.0.18"),
        ("10.7.0.16/30", "10.7.0.18", None),
        ("10.7.0.0/16", "10.7.0.255", None),
    ],
)
def test_an_address_outside_its_subnet_is_answered_with_the_usable_ones(
    subnet: str, address: str, remedy: str | None
) -> None:
    found = messages(TOPOLOGY.replace("10.7.0.0/24", subnet).replace("10.7.0.10", address))
    assert len(found) == (remedy is not None)
    assert all(str(remedy) in message for message in found)


def test_cloud_config_is_counted_once_for_each_node_that_gets_it() -> None:
    nodes = "".join(f"  - {{name: n{i}, vcpus: 1, memory_mb: 64, ip: 10.7.0.{i}}}\n" for i in range(20, 120))
    user_data = f"user_data: {{text: {'x' * 200_000}}}\n"
    assert messages(user_data + TOPOLOGY) == []
    assert "exceeds 16 MiB over all nodes" in messages(user_data + TOPOLOGY + nodes)[0]


def test_a_bridge_may_not_take_the_name_of_a_nodes_interface() -> None:
    from reconciler.model.names import tap_name

    found = messages(TOPOLOGY.replace("virbr-lab", tap_name("lab", "a")))
    assert found == ["f:3:33: network.bridge: is also the interface of node a (choose another name)"]


def test_more_than_a_hundred_problems_are_counted() -> None:
    from reconciler.source.problems import problem_report

    mistakes = "".join(f"k{i}: 1\n" for i in range(300))
    problems = parse_topology(f"{TOPOLOGY}{mistakes}".encode(), Path("/t")).problems()
    assert problem_report("f", problems).splitlines()[-1] == "... and 200 more"


def test_a_file_full_of_mistakes_is_answered_soon() -> None:
    import time

    started = time.process_time()
    found = messages(TOPOLOGY + "".join(f"k{i}: 1\n" for i in range(15_000)))
    assert len(found) == 1000
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("content-type: multipart/mixed; boundary=x", "merge its parts into one"),
        ("From nobody Fri Jan 11 07:00:00 1980", "merge its parts into one"),
        ("#part-handler", "write what it does as cloud-config"),
        ("#cloud-config-jsonp", "write what it does as cloud-config"),
        ("#upstart-job", "write what it does as cloud-config"),
        ('{"runcmd": []}', "remove the quotes or the `|`"),
        ("H4sIAAAAAAAA", "write the `key: value` lines it contains"),
        ("I2Nsb3VkLWNvbmZpZwo=", "write the `key: value` lines it contains"),
        ("cloud-init.yaml", "not a file name"),
    ],
)
def test_user_data_of_another_kind_is_answered_with_what_to_write(text: str, remedy: str) -> None:
    [found] = messages(f"user_data: |\n  {text}\n{TOPOLOGY}")
    assert found.startswith("f:1:12: user_data: is ")
    assert remedy in found


@pytest.mark.parametrize(
    ("of_cluster", "of_b", "found"),
    [
        (None, "b.example.org", None),
        (None, "b", None),
        ("a.example.org", "b.example.org", None),
        ("a.example.org", None, "user_data.fqdn: a.example.org would be the name of several nodes"),
        (None, "A", "nodes[1].user_data.fqdn: A is also nodes[0].name"),
        (None, "localhost", "nodes[1].user_data.fqdn: localhost means the machine itself"),
        (None, "10", "nodes[1].user_data.fqdn: 10 is read as an address"),
    ],
)
def test_a_full_name_belongs_to_one_node(of_cluster: str | None, of_b: str | None, found: str | None) -> None:
    shared = f"user_data: {{fqdn: '{of_cluster}'}}\n" if of_cluster else ""
    own = f", user_data: {{fqdn: '{of_b}'}}" if of_b else ""
    node = f"  - {{name: b, vcpus: 1, memory_mb: 512, ip: 10.7.0.11{own}}}\n"
    said = messages(shared + TOPOLOGY + node)
    assert len(said) == (found is not None)
    assert all(str(found) in message for message in said)
