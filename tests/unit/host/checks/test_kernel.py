from pathlib import Path

import pytest

from reconciler.host.checks.kernel import check_bridge_netfilter, check_kernel
from reconciler.host.features import Feature, remedy_on
from reconciler.model.examination import CheckOutcome

WORKS = Feature("works", "no_module", "nothing", "true", "coreutils", ())
REFUSED = Feature("refused", "sch_refused", "impairments", "sh", "dash", ("-c", "echo Error: unknown kind >&2; exit 2"))


async def test_a_feature_counts_when_it_can_be_used() -> None:
    works, refused, _bridge = await check_kernel([WORKS, REFUSED])
    assert works.verdict is CheckOutcome.OK
    assert refused.verdict is CheckOutcome.WARNING


async def test_a_refused_feature_names_module_use_and_complaint() -> None:
    refused, _bridge = await check_kernel([REFUSED])
    assert refused.message == "not supported by the kernel, and impairments need it: Error: unknown kind"
    assert "modprobe sch_refused" in str(refused.remedy)


@pytest.mark.parametrize(
    ("system", "release", "how"),
    [
        ({"ID": "ubuntu"}, "6.8.0-45-generic", "install linux-modules-extra-6.8.0-45-generic"),
        ({"ID": "mint", "ID_LIKE": "ubuntu debian"}, "6.8.0-1021-aws", "install linux-modules-extra-6.8.0-1021-aws"),
        ({"ID": "ubuntu"}, "6.18.44-own", "boot a kernel with CONFIG_NET_SCH_NETEM"),
        (
            {"ID": "debian"},
            "6.1.0-45-amd64",
            "boot a kernel with CONFIG_NET_SCH_NETEM, such as that of linux-image-amd64",
        ),
        ({}, "6.8.0-45-generic", "boot a kernel with CONFIG_NET_SCH_NETEM"),
    ],
)
def test_what_brings_a_module_is_a_package_only_where_there_is_one(
    system: dict[str, str], release: str, how: str
) -> None:
    said = remedy_on(system, release, "sch_netem")
    assert said == f"`modprobe sch_netem`; where there is no such module, {how}"


async def test_a_feature_whose_program_is_missing_is_not_called_refused() -> None:
    result, _bridge = await check_kernel(
        [Feature("netem", "sch_netem", "it", "vmcluster-no-such-program", "nothing", ())]
    )
    assert result.message == "cannot be tried without vmcluster-no-such-program"


@pytest.mark.parametrize(("content", "state"), [("1\n", "on"), ("0\n", "off")])
def test_bridge_netfilter_is_read_and_never_switched(tmp_path: Path, content: str, state: str) -> None:
    switch = tmp_path / "switch"
    switch.write_text(content)
    assert check_bridge_netfilter(switch).message.endswith(state)
    assert switch.read_text() == content
