"""What libvirt offers, and networks of anybody's. Samples: libvirt 9.0.0 with QEMU 7.2, shortened."""

from ipaddress import IPv4Network

import pytest

from reconciler.host.libvirt.mark import NetworkMark, network_mark_element
from reconciler.host.libvirt.offers import parse_known_network, parse_offer, parse_qemu_user
from reconciler.host.libvirt.xml import element_text
from reconciler.model.host_view import KnownNetwork, Offer

CAPABILITIES = """\
<domainCapabilities>
  <machine>pc-q35-7.2</machine>
  <os supported='yes'>{firmware}<loader supported='yes'/></os>
  <vcpu max='288'/>
  <cpu>
    <mode name='host-passthrough' supported='no'/>
    <mode name='maximum' supported='yes'><enum name='maximumMigratable'/></mode>
    <mode name='host-model' supported='yes'><model fallback='forbid'>Nehalem</model></mode>
    <mode name='custom' supported='yes'>
      <model usable='yes' vendor='unknown'>qemu64</model>
      <model usable='no' vendor='AMD'>EPYC</model>
    </mode>
  </cpu>
</domainCapabilities>
"""


@pytest.mark.parametrize("emulated", [True, False])
@pytest.mark.parametrize(
    ("firmware", "has_uefi"),
    [("", False), ("<enum name='firmware'/>", False), ("<enum name='firmware'><value>efi</value></enum>", True)],
)
def test_a_model_that_lacks_features_can_be_emulated_only(emulated: bool, firmware: str, has_uefi: bool) -> None:
    cpus = {"host": False, "maximum": True, "qemu64": True, "EPYC": emulated}
    xml = CAPABILITIES.format(firmware=firmware)
    assert parse_offer(xml, emulated=emulated) == Offer(255, cpus, has_uefi)


def test_a_network_is_told_with_all_its_addresses_and_whose_it_is() -> None:
    mark = element_text(network_mark_element(NetworkMark("lab")))
    xml = f"""<network><name>net</name><metadata>{mark}</metadata><bridge name='virbr5'/>
      <ip address='10.0.0.1' netmask='255.255.255.0'/><ip family='ipv4' address='10.1.0.1' prefix='20'/>
      <ip family='ipv6' address='fd00::1' prefix='64'/></network>"""
    subnets = (IPv4Network("10.0.0.0/24"), IPv4Network("10.1.0.0/20"))
    assert parse_known_network(xml, active=True) == KnownNetwork("net", "virbr5", subnets, "lab", active=True)
    bridged = "<network><name>br</name><forward mode='bridge'/><bridge name='br0'/></network>"
    assert parse_known_network(bridged, active=False) == KnownNetwork("br", "br0", (), None, active=False)


@pytest.mark.parametrize(
    ("model", "label", "user"),
    [
        ("dac", "<baselabel type='kvm'>+64055:+108</baselabel><baselabel type='qemu'>+64055:+108</baselabel>", True),
        ("dac", "", False),
        ("apparmor", "<baselabel type='kvm'>+64055:+108</baselabel>", False),
    ],
)
def test_the_user_of_qemu_is_in_the_label_that_files_get(model: str, label: str, user: bool) -> None:
    none = "<secmodel><model>none</model><doi>0</doi></secmodel>"
    xml = f"<capabilities><host>{none}<secmodel><model>{model}</model>{label}</secmodel></host></capabilities>"
    assert parse_qemu_user(xml) == (("64055", "108") if user else None)
