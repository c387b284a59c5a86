"""Samples of libvirt: what it prints of the documents in `tests.unit.host.libvirt.samples` once it was given them."""

from collections.abc import Iterator

import libvirt

from reconciler.host.libvirt.domain_xml import render_domain
from reconciler.host.libvirt.network_xml import render_network
from tests.golden_samples import UNIT_TESTS, Sample
from tests.unit.host.libvirt.samples import DOMAINS, NETWORKS, SAMPLE_CLUSTER

GOLDEN = UNIT_TESTS / "libvirt" / "golden"


def take() -> Iterator[Sample]:
    """All of them; what was defined is gone afterwards."""
    handle = libvirt.open("qemu:///system")
    number = handle.getLibVersion()
    version = f"libvirt-{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
    for name, (document, done) in DOMAINS.items():
        domain = handle.defineXML(render_domain(SAMPLE_CLUSTER, name, document, done))
        xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        domain.undefine()
        yield Sample(GOLDEN / f"domain-{name}.{version}.xml", xml)
    for name, of_network in NETWORKS.items():
        network = handle.networkDefineXML(render_network(SAMPLE_CLUSTER, name, of_network))
        xml = network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE)
        network.undefine()
        yield Sample(GOLDEN / f"network-{name}.{version}.xml", xml)
