"""Each planner, from small documents to the exact actions."""

from pathlib import Path
from typing import Any, TypeVar

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.model.base import Frozen
from reconciler.model.choices import StopMode
from reconciler.model.document import (
    BackingFile,
    ClusterDocument,
    Domain,
    DomainDisk,
    Halt,
    HaltReason,
    Layer,
    Network,
    Power,
    PowerState,
    Seed,
    Tap,
    Tunnel,
    Unknown,
)
from reconciler.model.plan import (
    AttachDisk,
    ChangeKind,
    CreateLayer,
    CreateNetwork,
    CutPower,
    DefineDomain,
    DeleteLayer,
    DeleteNetwork,
    DeleteSeed,
    Disruption,
    Epochs,
    PlugTap,
    Resume,
    SetTunnel,
    ShutDown,
    Start,
    StartNetwork,
    Suspend,
    UndefineDomain,
    UpdateSeed,
    WriteSeed,
)
from reconciler.model.status import Obstacle
from reconciler.model.topology import DiskBus, Forward
from reconciler.plan.halted_machines import runs_on
from reconciler.plan.kind_planners import (
    plan_domains,
    plan_layers,
    plan_networks,
    plan_seeds,
    plan_taps,
)
from reconciler.plan.power import plan_power
from tests.golden_samples.tunnels import TUNNEL

R = TypeVar("R", bound=Frozen)

EMPTY = ClusterDocument()
UNKNOWN = Unknown(unknown="cannot be read", code=ErrorCode.LIBVIRT_UNAVAILABLE)

NETWORK = Network(bridge="br0", gateway="10.0.0.1", prefix_length=24, forward=Forward.NAT, active=True)
LAYER = Layer(node="a", disk="vda", size_bytes=100, backing=Path("/base.qcow2"), backing_format="qcow2")
SEED = Seed(digest="new")
ROOT = DomainDisk(
    path=Path("/o/a.qcow2"), format="qcow2", backing=(BackingFile(path=Path("/base.qcow2"), format="qcow2"),)
)
DATA = DomainDisk(path=Path("/d/data.qcow2"), format="qcow2")
DOMAIN = Domain(
    uuid="u",
    role="worker",
    vcpus=1,
    memory_mb=512,
    virt_type="qemu",
    cpu="maximum",
    disks={"vda": ROOT},
    network="net",
    mac="52:00:00:00:00:01",
    tap="vmc-a",
    console=Path("/o/a.log"),
    template=1,
)
RUNNING = Power(state=PowerState.RUNNING)
PAUSED = Power(state=PowerState.PAUSED)
OFF = Power(state=PowerState.OFF)
CUT_OFF = Power(state=PowerState.OFF, stop_mode=StopMode.DESTROY)
CRASHED = Power(state=PowerState.CRASHED)
BLOCKED = Power(state=PowerState.BLOCKED)
STOPPING = Power(state=PowerState.STOPPING)


def altered(value: R, **changes: Any) -> R:
    return value.model_copy(update=changes)


class TestNetworks:
    want = ClusterDocument(networks={"net": NETWORK})

    def test_one_that_is_missing_is_created(self) -> None:
        assert [*plan_networks(self.want, EMPTY)] == [
            CreateNetwork(name="net", network=NETWORK, reason="not created yet", change=ChangeKind.CREATE)
        ]

    def test_one_that_is_as_desired_is_left_alone(self) -> None:
        assert [*plan_networks(self.want, self.want)] == []

    def test_one_that_is_unknown_is_left_alone(self) -> None:
        assert [*plan_networks(self.want, ClusterDocument(networks={"net": UNKNOWN}))] == []

    def test_one_that_is_inactive_is_started(self) -> None:
        have = ClusterDocument(networks={"net": altered(NETWORK, active=False)})
        assert [*plan_networks(self.want, have)] == [StartNetwork(name="net", reason="defined, but not active")]

    @pytest.mark.parametrize(
        ("there", "wanted", "planned"),
        [
            (TUNNEL, TUNNEL, None),
            (None, TUNNEL, (ChangeKind.CREATE, "tunnel: to 10.88.0.1, 10.88.0.2")),
            (TUNNEL, None, (ChangeKind.DELETE, "tunnel: no other host has a part of the network")),
            (
                TUNNEL.model_copy(update={"gateway": None, "peers": TUNNEL.peers[:1]}),
                TUNNEL,
                (
                    ChangeKind.UPDATE,
                    "tunnel: gateway null -> 192.168.100.1, peers [10.88.0.1] -> [10.88.0.1, 10.88.0.2]",
                ),
            ),
        ],
    )
    def test_a_tunnel_is_changed_without_touching_the_network(
        self, there: Tunnel | None, wanted: Tunnel | None, planned: tuple[ChangeKind, str] | None
    ) -> None:
        want, have = altered(NETWORK, tunnel=wanted), altered(NETWORK, tunnel=there)
        steps = [*plan_networks(ClusterDocument(networks={"net": want}), ClusterDocument(networks={"net": have}))]
        expected = [] if planned is None else [("net", want, *planned)]
        assert [(of.name, of.network, of.change, of.reason) for of in steps if isinstance(of, SetTunnel)] == expected
        assert len(steps) == len(expected)

    @pytest.mark.parametrize("have", [{}, {"net": altered(NETWORK, active=False, tunnel=TUNNEL)}])
    def test_a_new_bridge_gets_its_tunnel_before_nodes_start(self, have: dict[str, Network | Unknown]) -> None:
        want = ClusterDocument(networks={"net": altered(NETWORK, tunnel=TUNNEL)})
        first, then = plan_networks(want, ClusterDocument(networks=have))
        assert isinstance(first, CreateNetwork | StartNetwork)
        assert isinstance(then, SetTunnel)
        assert then.stage == first.stage

    def test_one_that_differs_is_replaced(self) -> None:
        have = ClusterDocument(networks={"net": altered(NETWORK, bridge="br1", active=False)})
        assert [*plan_networks(self.want, have)] == [
            CreateNetwork(
                name="net",
                network=NETWORK,
                replaces=("net",),
                reason="bridge br1 -> br0",
                disruption=Disruption.LIVE,
            )
        ]

    def test_one_that_is_not_desired_is_deleted(self) -> None:
        have = ClusterDocument(networks={"net": NETWORK, "old": altered(NETWORK, bridge="br9", gateway="10.9.0.1")})
        assert [*plan_networks(self.want, have)] == [
            DeleteNetwork(name="old", reason="no longer desired", change=ChangeKind.DELETE)
        ]

    def test_one_that_is_unknown_and_not_desired_is_left_alone(self) -> None:
        assert [*plan_networks(EMPTY, ClusterDocument(networks={"theirs": UNKNOWN}))] == []

    @pytest.mark.parametrize("in_common", [{"gateway": "10.9.0.1"}, {"bridge": "br9"}], ids=["bridge", "addresses"])
    def test_a_renamed_one_takes_the_place_of_the_old_one_that_holds_its(self, in_common: dict[str, str]) -> None:
        have = ClusterDocument(networks={"old": altered(NETWORK, **in_common)})
        assert [*plan_networks(self.want, have)] == [
            CreateNetwork(
                name="net",
                network=NETWORK,
                replaces=("old",),
                reason="replaces old",
                change=ChangeKind.CREATE,
                disruption=Disruption.LIVE,
            )
        ]

    def test_one_that_is_inactive_with_another_in_its_place_replaces_both(self) -> None:
        have = ClusterDocument(networks={"net": altered(NETWORK, active=False), "old": NETWORK})
        assert [*plan_networks(self.want, have)] == [
            CreateNetwork(
                name="net",
                network=NETWORK,
                replaces=("old", "net"),
                reason="replaces old",
                disruption=Disruption.LIVE,
            )
        ]


class TestLayers:
    want = ClusterDocument(layers={"/o/a.qcow2": LAYER})

    def test_one_that_is_missing_is_created(self) -> None:
        assert [*plan_layers(self.want, EMPTY)] == [
            CreateLayer(
                node="a", path=Path("/o/a.qcow2"), layer=LAYER, reason="not created yet", change=ChangeKind.CREATE
            )
        ]

    def test_one_that_differs_holds_data_and_is_reported(self) -> None:
        have = ClusterDocument(layers={"/o/a.qcow2": altered(LAYER, size_bytes=150)})
        assert [*plan_layers(self.want, have)] == [
            Obstacle(
                code=ErrorCode.CONFLICT,
                node="a",
                terminal=True,
                message="/o/a.qcow2 differs from the desired disk (size_bytes 150 -> 100) and holds data: "
                "restore the old value, or recreate the node with `cluster_apply(allow_data_loss=true)`",
            )
        ]

    @pytest.mark.parametrize("have", [LAYER, UNKNOWN], ids=["as wanted", "unknown"])
    def test_one_that_is_as_desired_or_unknown_is_left_alone(self, have: Layer | Unknown) -> None:
        assert [*plan_layers(self.want, ClusterDocument(layers={"/o/a.qcow2": have}))] == []

    def test_one_that_is_not_desired_is_deleted_and_its_data_lost(self) -> None:
        have = ClusterDocument(layers={"/o/a.qcow2": LAYER, "/o/theirs.qcow2": UNKNOWN})
        assert [*plan_layers(EMPTY, have)] == [
            DeleteLayer(
                node="a",
                path=Path("/o/a.qcow2"),
                reason="no longer desired",
                change=ChangeKind.DELETE,
                disruption=Disruption.DATA_LOSS,
            )
        ]

    def test_one_that_is_desired_as_it_is_is_left_alone_whatever_it_is(self) -> None:
        kept = ClusterDocument(layers={"/o/a.qcow2": UNKNOWN})
        assert [*plan_layers(kept, kept)] == []


class TestSeeds:
    want = ClusterDocument(seeds={"a": SEED}, power={"a": RUNNING})

    def test_one_that_is_missing_is_written(self) -> None:
        assert [*plan_seeds(self.want, EMPTY)] == [
            WriteSeed(node="a", digest="new", reason="not created yet", change=ChangeKind.CREATE)
        ]

    @pytest.mark.parametrize(("power", "live"), [(RUNNING, True), (PAUSED, False), (OFF, False), (UNKNOWN, False)])
    def test_one_that_differs_is_written_again_and_told_to_a_guest_that_runs(
        self, power: Power | Unknown, live: bool
    ) -> None:
        have = ClusterDocument(seeds={"a": Seed(digest="old")}, power={"a": power})
        assert [*plan_seeds(self.want, have)] == [
            (UpdateSeed if live else WriteSeed)(
                node="a",
                digest="new",
                reason="addresses, names, keys or user data changed",
                disruption=Disruption.LIVE,
            )
        ]

    def test_one_of_a_guest_that_is_about_to_end_is_not_told_to_it(self) -> None:
        have = ClusterDocument(seeds={"a": Seed(digest="old")}, power={"a": RUNNING})
        for power in (OFF, RUNNING.model_copy(update={"boot_epoch": RUNNING.boot_epoch + 1})):
            (action,) = plan_seeds(ClusterDocument(seeds={"a": SEED}, power={"a": power}), have)
            assert type(action) is WriteSeed

    @pytest.mark.parametrize("have", [SEED, UNKNOWN], ids=["as wanted", "unknown"])
    def test_one_that_is_as_desired_or_unknown_is_left_alone(self, have: Seed | Unknown) -> None:
        assert [*plan_seeds(self.want, ClusterDocument(seeds={"a": have}))] == []

    def test_one_that_is_not_desired_is_deleted(self) -> None:
        assert [*plan_seeds(EMPTY, ClusterDocument(seeds={"a": SEED, "b": UNKNOWN}))] == [
            DeleteSeed(node="a", reason="no longer desired", change=ChangeKind.DELETE)
        ]


class TestDomains:
    want = ClusterDocument(domains={"a": DOMAIN}, power={"a": RUNNING})

    def have(self, domain: Domain | Unknown, power: Power | Unknown = RUNNING) -> ClusterDocument:
        return ClusterDocument(domains={"a": domain}, power={"a": power})

    def test_one_that_is_missing_is_defined_with_all_requests_met(self) -> None:
        want = ClusterDocument(domains={"a": DOMAIN}, power={"a": altered(RUNNING, boot_epoch=4, resume_epoch=2)})
        assert [*plan_domains(want, EMPTY)] == [
            DefineDomain(
                node="a",
                domain=DOMAIN,
                carried_out=Epochs(boot=4, resume=2),
                reason="not defined yet",
                change=ChangeKind.CREATE,
            )
        ]

    def test_a_machine_that_runs_without_a_definition_keeps_what_was_carried_out(self) -> None:
        have = ClusterDocument(power={"a": altered(RUNNING, boot_epoch=3, resume_epoch=1)})
        (action,) = plan_domains(self.want, have)
        assert isinstance(action, DefineDomain)
        assert action.carried_out == Epochs(boot=3, resume=1)

    @pytest.mark.parametrize("have", [DOMAIN, UNKNOWN], ids=["as wanted", "unknown"])
    def test_one_that_is_as_desired_or_unknown_is_left_alone(self, have: Domain | Unknown) -> None:
        assert [*plan_domains(self.want, self.have(have))] == []

    def test_one_that_differs_is_redefined_and_needs_a_restart_while_it_is_up(self) -> None:
        have = self.have(altered(DOMAIN, memory_mb=256), altered(RUNNING, boot_epoch=7))
        assert [*plan_domains(self.want, have)] == [
            DefineDomain(
                node="a",
                domain=DOMAIN,
                carried_out=Epochs(boot=7),
                needs_restart=True,
                reason="memory_mb 256 -> 512",
                disruption=Disruption.RESTART,
            )
        ]

    @pytest.mark.parametrize("change", [{"role": "db"}, {"template": 0}], ids=["role", "template"])
    def test_what_a_guest_does_not_notice_is_redefined_without_a_restart(self, change: dict[str, object]) -> None:
        (action,) = plan_domains(self.want, self.have(altered(DOMAIN, **change)))
        assert isinstance(action, DefineDomain)
        assert (action.needs_restart, action.disruption) == (False, Disruption.NONE)

    @pytest.mark.parametrize(("had", "restarts"), [("1:1", True), ("", False)], ids=["another", "never told apart"])
    def test_a_kernel_that_is_another_file_now_is_taken_up_by_a_restart(self, had: str, restarts: bool) -> None:
        want = ClusterDocument(domains={"a": altered(DOMAIN, boot_files="2:2")}, power={"a": RUNNING})
        (action,) = plan_domains(want, self.have(altered(DOMAIN, boot_files=had)))
        assert isinstance(action, DefineDomain)
        assert action.needs_restart is restarts
        assert action.reason == "the kernel or initrd file of that name was replaced"

    @pytest.mark.parametrize(("memory", "boots"), [(None, True), (Path("/o/memory.s"), False)], ids=["disks", "memory"])
    def test_one_whose_disks_are_replaced_boots_from_others_unless_it_goes_on_from_a_memory(
        self, memory: Path | None, boots: bool
    ) -> None:
        (target, disk), *_ = DOMAIN.disks.items()
        before = altered(DOMAIN, disks={**DOMAIN.disks, target: altered(disk, path=Path("/o/other.qcow2"))})
        want = ClusterDocument(domains={"a": DOMAIN}, power={"a": altered(RUNNING, memory=memory)})
        (action,) = plan_domains(want, self.have(before))
        assert isinstance(action, DefineDomain)
        assert action.other_disks is boots

    @pytest.mark.parametrize("have", [OFF, STOPPING], ids=["off", "stopping"])
    def test_one_that_is_off_or_goes_off_is_redefined_without_a_restart(self, have: Power) -> None:
        (action,) = plan_domains(self.want, self.have(altered(DOMAIN, vcpus=2), have))
        assert isinstance(action, DefineDomain)
        assert not action.needs_restart

    def test_a_definition_that_is_written_after_a_power_cycle_does_not_take_it_back(self) -> None:
        want = ClusterDocument(domains={"a": DOMAIN}, power={"a": altered(RUNNING, boot_epoch=1)})
        assert [*plan_domains(want, self.have(altered(DOMAIN, memory_mb=256)))] == [
            DefineDomain(
                node="a",
                domain=DOMAIN,
                carried_out=Epochs(boot=1),
                needs_restart=False,
                reason="memory_mb 256 -> 512",
            )
        ]

    @pytest.mark.parametrize("bus", [DiskBus.VIRTIO, DiskBus.SCSI])
    def test_an_added_disk_is_plugged_into_a_machine_that_is_up(self, bus: DiskBus) -> None:
        disk = altered(DATA, bus=bus)
        want = ClusterDocument(domains={"a": altered(DOMAIN, disks={"vda": ROOT, "vdb": disk})}, power={"a": RUNNING})
        assert [*plan_domains(want, self.have(DOMAIN))] == [
            AttachDisk(node="a", target="vdb", disk=disk, reason="disk vdb added", disruption=Disruption.LIVE)
        ]

    @pytest.mark.parametrize(
        ("disks", "have_disks", "have", "want"),
        [
            ({"vda": ROOT, "vdb": altered(DATA, bus=DiskBus.SATA)}, {"vda": ROOT}, RUNNING, RUNNING),
            ({"vda": ROOT, "vdb": DATA}, {"vda": DATA}, RUNNING, RUNNING),
            ({"vda": ROOT}, {"vda": ROOT, "vdb": DATA}, RUNNING, RUNNING),
            ({"vda": ROOT, "vdb": DATA}, {"vda": ROOT}, OFF, OFF),
            ({"vda": ROOT, "vdb": DATA}, {"vda": ROOT}, STOPPING, RUNNING),
            ({"vda": ROOT, "vdb": DATA}, {"vda": ROOT}, RUNNING, OFF),
            ({"vda": ROOT, "vdb": DATA}, {"vda": ROOT}, RUNNING, altered(RUNNING, boot_epoch=1)),
        ],
        ids=["bus without hot plug", "another differs", "taken away", "off", "stopping", "to be off", "to be cycled"],
    )
    def test_a_disk_that_cannot_be_plugged_in_is_defined(
        self, disks: dict[str, DomainDisk], have_disks: dict[str, DomainDisk], have: Power, want: Power
    ) -> None:
        desired = ClusterDocument(domains={"a": altered(DOMAIN, disks=disks)}, power={"a": want})
        (action,) = plan_domains(desired, self.have(altered(DOMAIN, disks=have_disks), have))
        assert isinstance(action, DefineDomain)

    def test_a_disk_is_not_plugged_in_beside_another_change(self) -> None:
        want = ClusterDocument(
            domains={"a": altered(DOMAIN, vcpus=2, disks={"vda": ROOT, "vdb": DATA})}, power={"a": RUNNING}
        )
        (action,) = plan_domains(want, self.have(DOMAIN))
        assert isinstance(action, DefineDomain)
        assert (action.reason, action.needs_restart) == ("disks +vdb, vcpus 1 -> 2", True)

    def test_one_that_is_not_desired_is_undefined(self) -> None:
        have = ClusterDocument(domains={"a": DOMAIN, "b": UNKNOWN})
        assert [*plan_domains(EMPTY, have)] == [
            UndefineDomain(node="a", reason="no longer desired", change=ChangeKind.DELETE, disruption=Disruption.REMOVE)
        ]


START = Start(node="a", paused=False, resume_epoch=0, reason="desired running")
START_PAUSED = Start(node="a", paused=True, resume_epoch=0, reason="desired paused")
ASK = ShutDown(node="a", reason="desired off", disruption=Disruption.RESTART)
CUT = CutPower(node="a", boot_epoch=0, reason="desired off", disruption=Disruption.RESTART)
SUSPEND = Suspend(node="a", reason="desired paused", disruption=Disruption.LIVE)
IS_CRASHED = Obstacle(
    code=ErrorCode.GUEST_CRASHED,
    node="a",
    terminal=True,
    message="the guest has panicked and is left as it is; `node_crash` boots it again, "
    '`cluster_stop(mode="destroy")` turns it off',
)
IS_PAUSED = Obstacle(
    code=ErrorCode.GUEST_PAUSED,
    node="a",
    terminal=True,
    message='the guest is paused; `cluster_start` resumes it, `cluster_stop(mode="destroy")` turns it off',
)
IS_BLOCKED = altered(
    IS_PAUSED,
    message="the guest was paused by an I/O error (is the disk full?); "
    '`cluster_start` resumes it, `cluster_stop(mode="destroy")` turns it off',
)

POWER_TABLE = [
    # have, want, steps
    (OFF, OFF, []),
    (OFF, CUT_OFF, []),
    (OFF, RUNNING, [START]),
    (OFF, PAUSED, [START_PAUSED]),
    (RUNNING, RUNNING, []),
    (RUNNING, PAUSED, [SUSPEND]),
    (RUNNING, OFF, [ASK]),
    (RUNNING, CUT_OFF, [CUT]),
    (STOPPING, RUNNING, []),
    (STOPPING, PAUSED, []),
    (STOPPING, OFF, []),
    (STOPPING, CUT_OFF, [CUT]),
    (PAUSED, RUNNING, [IS_PAUSED]),
    (PAUSED, PAUSED, []),
    (PAUSED, OFF, [IS_PAUSED]),
    (PAUSED, CUT_OFF, [CUT]),
    (BLOCKED, RUNNING, [IS_BLOCKED]),
    (BLOCKED, PAUSED, [IS_BLOCKED]),
    (BLOCKED, OFF, [IS_BLOCKED]),
    (BLOCKED, CUT_OFF, [CUT]),
    (CRASHED, RUNNING, [IS_CRASHED]),
    (CRASHED, PAUSED, [IS_CRASHED]),
    (CRASHED, OFF, [CUT]),
    (CRASHED, CUT_OFF, [CUT]),
]


def wanting(power: Power, domain: Domain = DOMAIN) -> ClusterDocument:
    return ClusterDocument(power={"a": power}, domains={"a": domain})


class TestPower:
    @pytest.mark.parametrize(
        ("have", "want", "steps"),
        POWER_TABLE,
        ids=[f"{have.state}-to-{want.state}-by-{want.stop_mode}" for have, want, _ in POWER_TABLE],
    )
    def test_every_state_is_led_to_every_desired_state(self, have: Power, want: Power, steps: list[object]) -> None:
        assert [*plan_power(wanting(want), ClusterDocument(power={"a": have}))] == steps

    def test_the_table_has_every_pair_of_states(self) -> None:
        pairs = {(have.state, want.state, want.stop_mode) for have, want, _ in POWER_TABLE}
        wanted = [(RUNNING.state, StopMode.SHUTDOWN), (PAUSED.state, StopMode.SHUTDOWN)]
        wanted += [(OFF.state, mode) for mode in StopMode]
        assert pairs == {(have, *want) for have in PowerState for want in wanted}

    def test_a_start_says_that_qemu_had_ended_by_itself(self) -> None:
        ended = altered(OFF, halt=Halt(reason=HaltReason.QEMU_ENDED))
        (start,) = plan_power(wanting(RUNNING), ClusterDocument(power={"a": ended}))
        assert isinstance(start, Start)
        assert start.reason == "desired running; it is off because its QEMU ended unexpectedly"

    def test_a_new_machine_is_started(self) -> None:
        assert [*plan_power(wanting(RUNNING), EMPTY)] == [START]

    def test_a_new_machine_that_should_be_off_stays_off(self) -> None:
        assert [*plan_power(wanting(OFF), EMPTY)] == []

    def test_an_unknown_power_yields_nothing(self) -> None:
        have = ClusterDocument(power={"a": UNKNOWN, "b": UNKNOWN})
        assert [*plan_power(wanting(RUNNING), have)] == []

    @pytest.mark.parametrize("mode", StopMode)
    def test_a_power_cycle_brings_a_running_machine_down_as_asked_and_up_again(self, mode: StopMode) -> None:
        want = altered(RUNNING, boot_epoch=2, stop_mode=mode, resume_epoch=1)
        have = altered(RUNNING, boot_epoch=1)
        assert [*plan_power(wanting(want), ClusterDocument(power={"a": have}))] == [
            CutPower(
                node="a",
                boot_epoch=2,
                mode=mode,
                reason="power cycle 2 was requested",
                disruption=Disruption.RESTART,
            ),
            altered_start(resume_epoch=1),
        ]

    @pytest.mark.parametrize(
        ("mode", "reason"),
        [(StopMode.SHUTDOWN, "memory_mb 512 -> 768"), (StopMode.DESTROY, "power cycle 1 was requested")],
    )
    def test_a_power_cycle_for_a_change_names_it_and_a_crash_does_not(self, mode: StopMode, reason: str) -> None:
        want = wanting(altered(RUNNING, boot_epoch=1, stop_mode=mode), altered(DOMAIN, memory_mb=768, role="other"))
        have = ClusterDocument(power={"a": RUNNING}, domains={"a": altered(DOMAIN, memory_mb=512)})
        cut, _ = plan_power(want, have)
        assert isinstance(cut, CutPower)
        assert cut.reason == reason

    @pytest.mark.parametrize("have", [PAUSED, BLOCKED, CRASHED, STOPPING], ids=lambda power: power.state)
    def test_a_power_cycle_cuts_what_cannot_answer(self, have: Power) -> None:
        want = altered(RUNNING, boot_epoch=1)
        cut, start = plan_power(wanting(want), ClusterDocument(power={"a": have}))
        assert isinstance(cut, CutPower)
        assert (cut.mode, start) == (StopMode.DESTROY, START)

    @pytest.mark.parametrize(
        ("want", "reason"),
        [(RUNNING, "has panicked; it boots, its memory is lost"), (OFF, "power cycle 1 was requested")],
        ids=["boots", "stays off"],
    )
    def test_a_power_cycle_of_a_machine_that_cannot_run_on_says_what_it_costs(self, want: Power, reason: str) -> None:
        cycled = wanting(altered(want, boot_epoch=1, stop_mode=StopMode.DESTROY))
        cut, *_ = plan_power(cycled, ClusterDocument(power={"a": CRASHED}))
        assert isinstance(cut, CutPower)
        assert cut.reason == reason

    def test_a_power_cycle_of_a_machine_that_is_off_costs_nothing_and_is_written_down(self) -> None:
        want = altered(OFF, boot_epoch=1)
        assert [*plan_power(wanting(want), ClusterDocument(power={"a": OFF}))] == [
            CutPower(node="a", boot_epoch=1, mode=StopMode.DESTROY, reason="power cycle 1 was requested")
        ]

    def test_a_power_cycle_that_was_carried_out_is_not_repeated(self) -> None:
        both = ClusterDocument(power={"a": altered(RUNNING, boot_epoch=3)})
        assert [*plan_power(both, both)] == []

    @pytest.mark.parametrize("have", [PAUSED, BLOCKED], ids=lambda power: power.state)
    def test_a_machine_that_stands_still_is_resumed_where_that_was_asked_for(self, have: Power) -> None:
        want = altered(RUNNING, resume_epoch=1)
        assert [*plan_power(wanting(want), ClusterDocument(power={"a": have}))] == [
            Resume(node="a", resume_epoch=1, stood_still=True, reason=runs_on(have))
        ]

    def test_a_crashed_machine_is_not_resumed(self) -> None:
        want = altered(RUNNING, resume_epoch=1)
        assert [*plan_power(wanting(want), ClusterDocument(power={"a": CRASHED}))] == [IS_CRASHED]

    def test_a_resume_of_a_machine_that_runs_already_is_written_down(self) -> None:
        want = altered(RUNNING, resume_epoch=1)
        assert [*plan_power(wanting(want), ClusterDocument(power={"a": RUNNING}))] == [
            Resume(node="a", resume_epoch=1, reason="already runs; the request is met")
        ]

    @pytest.mark.parametrize("have", [RUNNING, PAUSED], ids=lambda power: power.state)
    def test_a_machine_whose_revert_was_interrupted_has_its_clock_stepped_by_the_next_round(self, have: Power) -> None:
        want = altered(RUNNING, resume_epoch=1, memory=Path("/overlays/c/memory"))
        path = str(DOMAIN.disks["vda"].path)
        restored = Layer(node="a", disk="vda", size_bytes=1, resumed=True)
        (resume,) = plan_power(wanting(want), ClusterDocument(power={"a": have}, layers={path: restored}))
        assert isinstance(resume, Resume)
        assert resume.after_memory

    @pytest.mark.parametrize("have", [RUNNING, PAUSED, CRASHED, STOPPING], ids=lambda power: power.state)
    def test_a_machine_that_is_not_desired_loses_its_power(self, have: Power) -> None:
        assert [*plan_power(EMPTY, ClusterDocument(power={"a": altered(have, boot_epoch=5)}))] == [
            CutPower(node="a", boot_epoch=5, reason="no longer desired", disruption=Disruption.REMOVE)
        ]

    def test_a_machine_that_is_off_and_not_desired_is_left_alone(self) -> None:
        assert [*plan_power(EMPTY, ClusterDocument(power={"a": OFF}))] == []


class TestTaps:
    want = ClusterDocument(domains={"a": DOMAIN}, taps={"a": Tap(bridge="br0")}, power={"a": RUNNING})

    def have(self, tap: Tap | Unknown | None, power: Power | Unknown = RUNNING) -> ClusterDocument:
        return ClusterDocument(taps={} if tap is None else {"a": tap}, power={"a": power})

    @pytest.mark.parametrize(("bridge", "where"), [(None, "no bridge"), ("br9", "br9")])
    def test_one_that_is_elsewhere_is_plugged_in(self, bridge: str | None, where: str) -> None:
        assert [*plan_taps(self.want, self.have(Tap(bridge=bridge)))] == [
            PlugTap(node="a", tap="vmc-a", bridge="br0", reason=f"plugged into {where}", disruption=Disruption.LIVE)
        ]

    @pytest.mark.parametrize("have", [None, Tap(bridge="br0"), UNKNOWN], ids=["off", "as wanted", "unknown"])
    def test_one_that_is_as_desired_unknown_or_not_there_is_left_alone(self, have: Tap | Unknown | None) -> None:
        assert [*plan_taps(self.want, self.have(have))] == []

    @pytest.mark.parametrize("have", [STOPPING, altered(RUNNING, boot_epoch=-1), UNKNOWN])
    def test_one_of_a_machine_that_goes_down_or_is_unknown_is_left_alone(self, have: Power | Unknown) -> None:
        assert [*plan_taps(self.want, self.have(Tap(bridge=None), have))] == []

    def test_one_is_never_plugged_into_the_bridge_of_a_network_that_is_not_ours(self) -> None:
        have = altered(self.have(Tap(bridge=None)), networks={"net": UNKNOWN})
        assert [*plan_taps(self.want, have)] == []


def altered_start(resume_epoch: int) -> Start:
    return Start(node="a", paused=False, resume_epoch=resume_epoch, reason="desired running")
