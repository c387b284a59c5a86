"""The cluster document: one type for the desired and the observed state."""

import json

import pytest
from pydantic import ValidationError

from reconciler.error_codes import ErrorCode
from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument, Power, PowerState, Seed, Unknown, canonical
from reconciler.model.record import WantedPower
from tests.simulation.worlds import as_wanted, compiled, running_record

RECORD = running_record("alpha", "beta")


def test_every_collection_is_a_map_by_name() -> None:
    assert all(field.default == {} for field in ClusterDocument.model_fields.values())


def test_the_canonical_form_is_plain_json() -> None:
    plain = canonical(compiled(RECORD))
    assert json.loads(json.dumps(plain)) == plain


def test_how_a_machine_is_brought_down_is_no_state_of_the_host() -> None:
    cut = Power(state=PowerState.OFF, stop_mode=StopMode.DESTROY)
    assert canonical(ClusterDocument(power={"a": cut})) == canonical(
        ClusterDocument(power={"a": Power(state=PowerState.OFF)})
    )


def test_what_is_desired_and_what_is_found_are_the_same_when_the_host_is_as_desired() -> None:
    assert canonical(as_wanted(RECORD)) == canonical(compiled(RECORD))


def test_what_is_unknown_keeps_its_reason() -> None:
    document = ClusterDocument(seeds={"a": Unknown(unknown="not readable", code=ErrorCode.OPERATION_FAILED)})
    assert ClusterDocument.model_validate(canonical(document)) == document


def test_a_document_survives_its_canonical_form() -> None:
    kept = canonical(compiled(RECORD))
    assert canonical(ClusterDocument.model_validate(kept)) == kept


def test_a_document_cannot_be_changed_and_has_no_room_for_more() -> None:
    seed = Seed(digest="d")
    with pytest.raises(ValidationError):
        seed.digest = "e"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Seed.model_validate({"digest": "d", "more": 1})


def test_every_desired_power_is_a_state_that_a_machine_can_have() -> None:
    assert [PowerState(wanted.value) for wanted in WantedPower] == [*PowerState][:3]
