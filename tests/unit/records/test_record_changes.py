"""Sequences of verbs on a record: requests are never forgotten, taken back or made twice."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.error_codes import ErrorCode
from reconciler.errors import Conflict
from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument, Layer, Power, PowerState, Unknown
from reconciler.model.record import ClusterRecord, ClusterSpec, ImageFile, NodeIntent, NodeSpec, WantedPower
from reconciler.model.topology import Forward
from reconciler.records import record_changes
from tests.simulation.worlds import CLUSTER, NODES, cluster_spec, extra_disk, node_spec

SPEC = cluster_spec({"alpha": node_spec(0), "beta": node_spec(1)})
NEW = record_changes.with_spec(None, CLUSTER, SPEC)
RUNNING = record_changes.started(NEW)


def spec_with(**changes: object) -> ClusterSpec:
    """`SPEC` with another alpha."""
    alpha = SPEC.nodes["alpha"].model_copy(update=changes)
    return SPEC.model_copy(update={"nodes": {**SPEC.nodes, "alpha": alpha}})


def only(record: ClusterRecord, node: str = "alpha") -> NodeIntent:
    return record.nodes[node]


class TestVerbs:
    def test_a_new_cluster_is_off_and_nothing_was_asked_of_it(self) -> None:
        assert NEW.nodes == {"alpha": NodeIntent(), "beta": NodeIntent()}
        assert NEW.deletion is None

    def test_a_cluster_never_moves_to_another_place_without_its_disks(self) -> None:
        elsewhere = SPEC.model_copy(update={"overlay_dir": Path("/elsewhere")})
        with pytest.raises(Conflict, match=f"in {SPEC.overlay_dir}, but overlay_dir is now /elsewhere"):
            record_changes.with_spec(RUNNING, CLUSTER, elsewhere)
        with pytest.raises(Conflict, match="empty disks"):
            record_changes.rolled_back(RUNNING, record_changes.with_spec(None, CLUSTER, elsewhere))

    def test_a_rollback_shuts_nodes_down_however_they_were_stopped_then(self) -> None:
        then = record_changes.stopped(RUNNING, StopMode.DESTROY, nodes=["beta"])
        back = record_changes.rolled_back(RUNNING, then)
        assert (only(back, "beta").power, only(back, "beta").stop_mode) == (WantedPower.OFF, StopMode.SHUTDOWN)
        assert back.nodes["alpha"] == RUNNING.nodes["alpha"]

    def test_a_rollback_keeps_the_order_of_the_nodes(self) -> None:
        other_way_round = SPEC.model_copy(update={"nodes": dict(reversed(SPEC.nodes.items()))})
        back = record_changes.rolled_back(RUNNING, record_changes.with_spec(None, CLUSTER, other_way_round))
        assert [*back.spec.nodes] == [*RUNNING.spec.nodes] == [*back.nodes]

    def test_single_nodes_are_started_and_stopped_and_others_stay_as_they_are(self) -> None:
        one = record_changes.started(NEW, nodes=["beta"])
        assert {name: of.power for name, of in one.nodes.items()} == {
            "alpha": WantedPower.OFF,
            "beta": WantedPower.RUNNING,
        }
        other = record_changes.stopped(RUNNING, StopMode.DESTROY, nodes=["beta"])
        assert other.nodes["alpha"] == RUNNING.nodes["alpha"]
        assert (only(other, "beta").power, only(other, "beta").stop_mode) == (WantedPower.OFF, StopMode.DESTROY)

    def test_a_start_makes_all_run(self) -> None:
        assert {node.power for node in RUNNING.nodes.values()} == {WantedPower.RUNNING}
        assert {node.resume_epoch for node in RUNNING.nodes.values()} == {0}

    def test_a_start_lets_those_run_on_that_stand_still(self) -> None:
        again = record_changes.started(RUNNING, resume=frozenset({"beta"}))
        assert (only(again).resume_epoch, only(again, "beta").resume_epoch) == (0, 1)

    def test_a_start_lets_those_run_on_that_were_started_paused(self) -> None:
        paused = record_changes.started(NEW, paused=True)
        assert {node.power for node in paused.nodes.values()} == {WantedPower.PAUSED}
        resumed = record_changes.started(paused)
        assert {(node.power, node.resume_epoch) for node in resumed.nodes.values()} == {(WantedPower.RUNNING, 1)}

    def test_a_start_that_is_repeated_asks_for_nothing_new(self) -> None:
        assert record_changes.started(RUNNING) == RUNNING
        paused = record_changes.started(NEW, paused=True)
        assert record_changes.started(paused, paused=True) == paused

    @pytest.mark.parametrize("mode", StopMode)
    def test_a_stop_turns_all_off_as_asked(self, mode: StopMode) -> None:
        stopped = record_changes.stopped(RUNNING, mode)
        assert {(node.power, node.stop_mode) for node in stopped.nodes.values()} == {(WantedPower.OFF, mode)}
        assert record_changes.stopped(stopped, mode) == stopped

    def test_a_crash_is_one_more_power_cycle_of_that_node(self) -> None:
        crashed = record_changes.power_cycled(RUNNING, frozenset({"alpha"}), StopMode.DESTROY)
        assert only(crashed) == NodeIntent(power=WantedPower.RUNNING, boot_epoch=1, stop_mode=StopMode.DESTROY)
        assert only(crashed, "beta") == only(RUNNING, "beta")

    def test_a_crash_says_in_which_state_the_node_should_end(self) -> None:
        off = {"alpha": WantedPower.OFF}
        assert (
            only(record_changes.power_cycled(RUNNING, frozenset({"alpha"}), StopMode.DESTROY, power=off)).power == "off"
        )

    def test_a_node_that_returns_counts_on_so_that_its_old_domain_has_not_met_its_requests(self) -> None:
        crashed = record_changes.power_cycled(RUNNING, frozenset({"alpha"}), StopMode.DESTROY)
        without = record_changes.with_spec(crashed, CLUSTER, cluster_spec({"beta": node_spec(1)}))
        back = record_changes.with_spec(without, CLUSTER, SPEC)
        assert only(back).boot_epoch > only(crashed).boot_epoch
        assert only(back).disk_revision > only(crashed).disk_revision

    def test_a_deletion_that_removes_disks_is_not_taken_back_by_a_milder_one(self) -> None:
        gone = record_changes.deleted(record_changes.deleted(RUNNING, remove_overlays=True), remove_overlays=False)
        assert gone.deletion is not None
        assert gone.deletion.remove_overlays


class TestSpecifications:
    def test_nodes_that_stay_keep_what_was_asked_of_them(self) -> None:
        grown = SPEC.model_copy(update={"nodes": {**SPEC.nodes, "gamma": node_spec(2)}})
        after = record_changes.with_spec(RUNNING, CLUSTER, grown)
        assert after.nodes == {**RUNNING.nodes, "gamma": NodeIntent()}
        assert record_changes.recreated_nodes(RUNNING, after) == frozenset()

    def test_files_of_disks_that_left_are_remembered_until_a_node_has_them_again(self) -> None:
        disks = {"vdb": extra_disk("alpha"), "vdc": extra_disk("alpha", existing=True)}
        before = record_changes.with_spec(None, CLUSTER, spec_with(extra_disks=disks))
        left = record_changes.with_spec(before, CLUSTER, SPEC)
        assert left.former_files == (disks["vdb"].path,)
        assert record_changes.with_spec(left, CLUSTER, SPEC).former_files == left.former_files
        assert record_changes.with_spec(left, CLUSTER, before.spec).former_files == ()

    def test_nodes_that_went_are_forgotten(self) -> None:
        after = record_changes.with_spec(RUNNING, CLUSTER, cluster_spec({"alpha": node_spec(0)}))
        assert after.nodes == {"alpha": only(RUNNING)}

    @pytest.mark.parametrize(
        "change",
        [
            {"ip": IPv4Address("192.168.77.99")},
            {"mac": "52:00:00:00:00:99"},
            {"user_data": {"packages": ["x"]}},
            {"base_image": ImageFile(path=Path("/images/other.qcow2"), format="qcow2", size_bytes=2**30)},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_node_whose_first_boot_would_go_otherwise_is_recreated(self, change: dict[str, object]) -> None:
        after = record_changes.with_spec(RUNNING, CLUSTER, spec_with(**change))
        assert record_changes.recreated_nodes(RUNNING, after) == {"alpha"}
        assert only(after) == NodeIntent(
            power=WantedPower.RUNNING, boot_epoch=1, disk_revision=1, instance=1, stop_mode=StopMode.DESTROY
        )

    @pytest.mark.parametrize(
        ("old", "new", "recreated"), [(None, 20, False), (20, 21, False), (20, 3, True), (20, None, True)]
    )
    def test_a_root_disk_that_grows_is_kept_and_one_that_would_shrink_is_recreated(
        self, old: int | None, new: int | None, recreated: bool
    ) -> None:
        before = record_changes.with_spec(None, CLUSTER, spec_with(disk_gb=old))
        after = record_changes.with_spec(before, CLUSTER, spec_with(disk_gb=new))
        assert record_changes.recreated_nodes(before, after) == ({"alpha"} if recreated else frozenset())
        grown_elsewhere = record_changes.with_spec(
            before, CLUSTER, spec_with(disk_gb=new, user_data={"packages": ["x"]})
        )
        assert record_changes.recreated_nodes(before, grown_elsewhere) == {"alpha"}

    @pytest.mark.parametrize(
        "change",
        [{"memory_mb": 1024}, {"vcpus": 4}, {"role": "db"}, {"extra_disks": {"vdb": extra_disk("alpha")}}],
        ids=lambda change: next(iter(change)),
    )
    def test_any_other_change_keeps_the_disk(self, change: dict[str, object]) -> None:
        after = record_changes.with_spec(RUNNING, CLUSTER, spec_with(**change))
        assert (after.nodes, record_changes.recreated_nodes(RUNNING, after)) == (RUNNING.nodes, frozenset())

    @pytest.mark.parametrize(
        "change",
        [
            {"ssh": SPEC.ssh.model_copy(update={"public_key": "ssh-ed25519 BBBB"})},
            {"ssh": SPEC.ssh.model_copy(update={"user": "admin"})},
            {"network": SPEC.network.model_copy(update={"forward": Forward.ISOLATED})},
        ],
        ids=["key", "user", "forward"],
    )
    def test_what_every_first_boot_depends_on_recreates_all_nodes(self, change: dict[str, object]) -> None:
        after = record_changes.with_spec(RUNNING, CLUSTER, SPEC.model_copy(update=change))
        assert record_changes.recreated_nodes(RUNNING, after) == {"alpha", "beta"}

    def test_the_same_specification_again_changes_nothing(self) -> None:
        assert record_changes.with_spec(RUNNING, CLUSTER, SPEC) == RUNNING

    def test_a_destroyed_cluster_that_is_defined_again_stands_on_its_disks_and_is_off(self) -> None:
        used = record_changes.with_spec(RUNNING, CLUSTER, spec_with(user_data={"x": 1}))
        again = record_changes.with_spec(record_changes.deleted(used, remove_overlays=False), CLUSTER, used.spec)
        assert again.deletion is None
        assert {node.power for node in again.nodes.values()} == {WantedPower.OFF}
        assert only(again).disk_revision == 1

    def test_a_cluster_without_a_record_stands_on_the_newest_disks_that_are_there(self) -> None:
        layer = Layer(node="alpha", disk="vda", size_bytes=1)
        found = ClusterDocument(
            layers={
                "/overlays/lab/alpha.vda.r2.0.qcow2": layer,
                "/overlays/lab/alpha.vda.r10.0.qcow2": layer,
                "/overlays/lab/alpha.vdb.r11.0.qcow2": layer,
                "/disks/gamma-data.qcow2": layer,
            }
        )
        kept = record_changes.on_kept_disks(NEW, found)
        assert (only(kept).disk_revision, only(kept, "beta").disk_revision) == (10, 0)

    def test_a_newest_disk_that_cannot_be_read_is_not_passed_over_for_an_older_one(self) -> None:
        layer = Layer(node="alpha", disk="vda", size_bytes=1)
        unreadable = Unknown(unknown="no longer qcow2", code=ErrorCode.IMAGE_NOT_FOUND)
        layers = {"/overlays/lab/alpha.vda.r1.0.qcow2": layer, "/overlays/lab/alpha.vda.r3.0.qcow2": unreadable}
        assert only(record_changes.on_kept_disks(NEW, ClusterDocument(layers=layers))).disk_revision == 3

    def test_requests_to_a_cluster_without_a_record_count_on_from_those_that_were_carried_out(self) -> None:
        found = ClusterDocument(power={"alpha": Power(state=PowerState.OFF, boot_epoch=5, resume_epoch=2)})
        kept = record_changes.on_kept_disks(NEW, found)
        assert (only(kept).boot_epoch, only(kept).resume_epoch, only(kept, "beta").boot_epoch) == (5, 2, 0)


class Verbs(RuleBasedStateMachine):
    """Any verbs in any order, as several clients may use them."""

    def __init__(self) -> None:
        super().__init__()
        self.record = NEW
        self.before = NEW

    def change(self, after: ClusterRecord) -> None:
        self.before, self.record = self.record, after

    @rule(paused=st.booleans(), still=st.frozensets(st.sampled_from(NODES)))
    def start(self, paused: bool, still: frozenset[str]) -> None:
        self.change(record_changes.started(self.record, resume=still, paused=paused))
        wanted = WantedPower.PAUSED if paused else WantedPower.RUNNING
        assert all(node.power is wanted for node in self.record.nodes.values())

    @rule(mode=st.sampled_from(StopMode))
    def stop(self, mode: StopMode) -> None:
        self.change(record_changes.stopped(self.record, mode))
        assert all(node.power is WantedPower.OFF for node in self.record.nodes.values())

    @rule(node=st.sampled_from(NODES), restart=st.booleans())
    def crash(self, node: str, restart: bool) -> None:
        if node not in self.record.nodes:
            return
        wanted = WantedPower.RUNNING if restart else WantedPower.OFF
        self.change(record_changes.power_cycled(self.record, frozenset({node}), StopMode.DESTROY, power={node: wanted}))
        assert self.record.nodes[node].boot_epoch == self.before.nodes[node].boot_epoch + 1

    @rule(
        nodes=st.sets(st.sampled_from(NODES), min_size=1), memory_mb=st.sampled_from([256, 512]), changed=st.booleans()
    )
    def apply(self, nodes: set[str], memory_mb: int, changed: bool) -> None:
        specs = {node: self.node(node, memory_mb, changed) for node in sorted(nodes)}
        self.change(record_changes.with_spec(self.record, CLUSTER, cluster_spec(specs)))
        assert self.record.nodes.keys() == nodes
        assert self.record.deletion is None

    @rule(remove=st.booleans())
    def destroy(self, remove: bool) -> None:
        self.change(record_changes.deleted(self.record, remove_overlays=remove))

    @precondition(lambda self: self.record.deletion is not None)
    @rule()
    def define_again(self) -> None:
        self.change(record_changes.with_spec(self.record, CLUSTER, self.record.spec))
        assert self.disk_revisions(self.record) == self.disk_revisions(self.before)

    @invariant()
    def no_request_is_taken_back(self) -> None:
        for name in self.record.nodes.keys() & self.before.nodes.keys():
            before, after = self.before.nodes[name], self.record.nodes[name]
            assert before.boot_epoch <= after.boot_epoch <= before.boot_epoch + 1
            assert before.resume_epoch <= after.resume_epoch <= before.resume_epoch + 1
            assert before.disk_revision <= after.disk_revision <= before.disk_revision + 1

    @invariant()
    def every_node_has_its_intent(self) -> None:
        assert self.record.nodes.keys() == self.record.spec.nodes.keys()

    @invariant()
    def only_nodes_that_are_cycled_get_a_fresh_disk(self) -> None:
        for name in record_changes.recreated_nodes(self.before, self.record):
            assert self.record.nodes[name].boot_epoch > self.before.nodes[name].boot_epoch

    @staticmethod
    def node(name: str, memory_mb: int, changed: bool) -> NodeSpec:
        node = node_spec(NODES.index(name), memory_mb=memory_mb)
        return node.model_copy(update={"user_data": {"packages": ["new"]}}) if changed else node

    @staticmethod
    def disk_revisions(record: ClusterRecord) -> dict[str, int]:
        return {name: node.disk_revision for name, node in record.nodes.items()}


TestAnySequenceOfVerbs = Verbs.TestCase
TestAnySequenceOfVerbs.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
