"""Words that are kept may quote guests and clients, and are bounded where they become ours."""

from datetime import UTC, datetime

import pytest

from reconciler.errors import InvalidArgument
from reconciler.model.event import ClusterEvent, EventKind
from reconciler.model.message_text import STORED_MESSAGE_LIMIT
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.usecases import build_trees

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG = "begin" + "x" * 10_000_000 + "end"


def test_of_a_long_message_beginning_and_end_are_kept() -> None:
    event = ClusterEvent(cluster_name="c", at=NOW, kind=EventKind.ACTION_FAILED, subject="Start", message=LONG)
    condition = Condition(
        type=ConditionType.KERNEL_HEALTHY,
        status=ConditionStatus.FALSE,
        reason="Oops",
        message=LONG,
        last_transition=NOW,
    )
    for message in (event.message, condition.message):
        assert len(message) <= STORED_MESSAGE_LIMIT
        assert message.startswith("begin")
        assert message.endswith("end")
        assert "characters omitted" in message
    assert Condition.model_validate_json(condition.model_dump_json()) == condition


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({str(number): "" for number in range(1000)}, "at most 64"),
        ({"x" * 1000: ""}, "not a name"),
        ({"": "a"}, "not a name"),
        ({"log": "x" * 1_000_000}, "1000000 characters"),
    ],
)
def test_an_artifact_keeps_no_more_words_than_a_registry_is_for(metadata: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        build_trees.check_metadata(metadata)
    build_trees.check_metadata({"branch": "next", "log": "x" * 4096})
