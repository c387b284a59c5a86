"""Marks what a round creates with its origin, and checks the origin of what it finds."""

from reconciler.act.context import ActContext
from reconciler.act.signing import sign_marks
from reconciler.desired.known_marks import marks_to_sign, origins_in
from reconciler.model.document import ClusterDocument
from reconciler.model.origin import Lineage, Origin
from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord
from reconciler.store.protocol import Store


async def lineage_of(store: Store, record: ClusterRecord, observed: ClusterDocument) -> Lineage:
    """How the store judges the origins that were found."""
    found = origins_in(observed)
    return await store.lineage(record.cluster_name, found) if found else Lineage()


async def origin_of_round(
    store: Store, record: ClusterRecord, observed: ClusterDocument, todo: Plan, term: int
) -> Origin | None:
    """The origin of what is created or signed in this round, in a term of the host; not looked up if nothing is."""
    if todo.foreign or not (todo.actions or marks_to_sign(record, observed)):
        return None
    origin = await store.origin(record.cluster_name, record.generation)
    return origin and origin.model_copy(update={"term": term})


async def sign_what_is_due(context: ActContext, observed: ClusterDocument, todo: Plan) -> None:
    """Sign what has to be signed before any action. Raises if the host refuses."""
    if context.origin is not None:
        due = marks_to_sign(context.record, observed, context.origin if todo.actions else None)
        await sign_marks(due, context.origin, context)
