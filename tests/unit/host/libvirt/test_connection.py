import libvirt
import pytest

from reconciler.errors import LibvirtUnavailable, OperationFailed
from reconciler.host.libvirt.connection import as_cluster_error


class Refusal(libvirt.libvirtError):  # type: ignore[misc]
    """What libvirt raises, made without a libvirt."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.err = (code, 0, message, 2, "", "", "", 0, 0)


def test_a_lost_connection_can_be_had_again_and_a_refusal_is_told_as_it_is() -> None:
    assert isinstance(as_cluster_error(Refusal(libvirt.VIR_ERR_RPC, "end of file")), LibvirtUnavailable)
    refused = as_cluster_error(Refusal(libvirt.VIR_ERR_OPERATION_FAILED, "no space"), node="n0")
    assert isinstance(refused, OperationFailed)
    assert (refused.message, refused.node, refused.hint) == ("libvirt refused: no space", "n0", None)


@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
def test_a_flushed_firewall_is_named_with_its_remedy(program: str) -> None:
    message = f"internal error: Failed to apply firewall rules /usr/sbin/{program}: No chain/target/match by that name."
    hint = as_cluster_error(Refusal(libvirt.VIR_ERR_INTERNAL_ERROR, message)).hint
    assert hint
    assert "restart libvirtd" in hint
