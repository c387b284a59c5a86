"""Which nodes a caller means."""

import pytest

from reconciler.errors import NodeNotFound
from reconciler.records.stored_records import select_node, select_nodes
from tests.unit.store.samples import sample_record


@pytest.mark.parametrize("nodes", [None, [], "all", ["all"]])
def test_all_nodes_are_meant_in_many_ways(nodes: str | list[str] | None) -> None:
    assert select_nodes(sample_record(), nodes) == ["zeta", "alpha"]


@pytest.mark.parametrize("nodes", ["alpha,zeta", ["alpha,zeta"], ["alpha", "zeta,alpha"]])
def test_several_nodes_may_be_one_word_with_commas(nodes: str | list[str]) -> None:
    assert select_nodes(sample_record(), nodes) == ["alpha", "zeta"]


@pytest.mark.parametrize("nodes", ["", [""], "alpha,", ["alpha", ""]])
def test_an_empty_name_never_means_all_nodes(nodes: str | list[str]) -> None:
    with pytest.raises(NodeNotFound, match="has no node ''"):
        select_nodes(sample_record(), nodes)


def test_a_node_that_is_named_twice_is_meant_once() -> None:
    assert select_nodes(sample_record(), ["alpha", "zeta", "alpha"]) == ["alpha", "zeta"]


def test_where_one_node_is_asked_for_all_is_no_name_and_the_way_to_all_is_told() -> None:
    assert select_node(sample_record(), "alpha") == "alpha"
    with pytest.raises(NodeNotFound, match=r"has no node 'all' \(it has zeta, alpha; `x` does it\)"):
        select_node(sample_record(), "all", all_with="`x` does it")
    with pytest.raises(NodeNotFound, match=r"\(it has zeta, alpha\)"):
        select_node(sample_record(), "nope", all_with="`x` does it")
