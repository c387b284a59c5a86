"""A change of a record, as it is shown."""

from pydantic import Field

from reconciler.model.abridging import Abridgeable
from reconciler.model.timestamps import Moment
from reconciler.store.protocol import HistoryEntry


class Change(HistoryEntry):
    """One change of a record, with a description."""

    changes: tuple[str, ...] = Field(description="The change in words: what was requested, then what followed from it.")


class ChangeInWords(Abridgeable):
    """One change of a record without its patch."""

    generation: int = Field(description="The generation that the change created; `cluster_rollback` takes it.")
    actor: str = Field(description="Who made the change.")
    at: Moment = Field(description="When.")
    changes: tuple[str, ...] = Field(description="The change in words: what was requested, then what followed from it.")
