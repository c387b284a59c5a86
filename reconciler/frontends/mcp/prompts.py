"""The prompts: five common jobs, in the words in which an agent is given them. Pure."""

from dataclasses import dataclass

from mcp_types import GetPromptResult, Prompt, PromptArgument, PromptMessage, TextContent


@dataclass(frozen=True, slots=True)
class _CommonJob:
    title: str
    description: str
    arguments: tuple[str, ...]
    text: str


_JOBS = {
    "bring_up": _CommonJob(
        "Bring up a cluster",
        "Plan, apply and check a topology, and take a snapshot to return to.",
        ("topology",),
        "Bring up the cluster of topology {topology}. Look at topology_show and cluster_plan first, and ask me before "
        "anything is approved that restarts nodes or loses data. Apply that plan by its plan_hash, wait until every "
        "node accepts SSH, and take a snapshot with memory named `ready`. Tell me what runs, and what does not.",
    ),
    "reproduce": _CommonJob(
        "Reproduce a problem",
        "Trigger a problem from the same snapshot until it happens twice, and say how.",
        ("cluster", "problem"),
        "Reproduce this on cluster {cluster}: {problem}\nTake a snapshot with memory first if there is none. For each "
        "try: dmesg_mark, do what triggers it, dmesg_collect from the marker, then snapshot_revert with heal=true. "
        "Stop when it happened twice in the same way, and give me the shortest series of calls and the "
        "kernel's lines.",
    ),
    "bisect": _CommonJob(
        "Find the build that broke something",
        "Halve a range of builds, each tested from the same snapshot.",
        ("cluster", "test"),
        "Find the first of the registered artifacts, in the order of artifact_list, that fails this test on cluster "
        "{cluster}: {test}\nHalve the range each time. For each build start from the same snapshot (snapshot_revert), "
        "then artifact_sync, artifact_install, the test, dmesg_collect. A build that cannot be tested is skipped and "
        "named. At the end show artifact_diff of the last good and the first bad build.",
    ),
    "find_sick_node": _CommonJob(
        "Find and repair what is wrong",
        "Gather evidence first, then repair a cluster step by step.",
        ("cluster",),
        "Something is wrong with cluster {cluster}. Find out what, with cluster_status, cluster_events, "
        "dmesg_collect, net_fault_list and node_console, before you change anything: keep evidence. Then show me the "
        "whole way back with cluster_plan, and what each step costs, and carry it out once I agree.",
    ),
    "clean_up": _CommonJob(
        "Clean up",
        "Heal, stop and list what is left, and ask before anything is deleted.",
        ("cluster",),
        "Clean up cluster {cluster}: heal its faults, stop its jobs and its nodes, and list the snapshots and "
        "artifacts with their sizes. Ask me what to keep before you delete any, and before cluster_destroy with "
        "remove_overlays. Say at the end how much space became free.",
    ),
}

PROMPTS = [
    Prompt(
        name=name,
        title=job.title,
        description=job.description,
        arguments=[PromptArgument(name=of, required=True) for of in job.arguments],
    )
    for name, job in _JOBS.items()
]


def prompt_text(name: str, said: dict[str, str]) -> GetPromptResult:
    """A prompt with its arguments. Raises `KeyError` with the name of what is missing: the prompt, or an argument."""
    job = _JOBS[name]
    text = job.text.format(**{of: said[of] for of in job.arguments})
    return GetPromptResult(
        description=job.description, messages=[PromptMessage(role="user", content=TextContent(type="text", text=text))]
    )
