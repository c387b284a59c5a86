"""Where a domain or a network comes from, in libvirt's metadata and back."""

import pytest

from reconciler.host.libvirt.domain_xml import parse_domain, render_domain
from reconciler.host.libvirt.mark import NetworkMark
from reconciler.host.libvirt.network_xml import parse_network, render_network, signed_network
from reconciler.model.origin import Origin
from reconciler.model.plan import Epochs
from tests.unit.host.libvirt.samples import DOMAINS, NETWORKS, SAMPLE_CLUSTER

ORIGIN = Origin(store="0a1b", generation=3, token="2c3d", state_dir="/state & more")
NAME, NETWORK = next(iter(NETWORKS.items()))
NODE, (DOMAIN, _) = next(iter(DOMAINS.items()))
DOMAIN_XML = render_domain(SAMPLE_CLUSTER, NODE, DOMAIN, Epochs(boot=1), ORIGIN)
NETWORK_XML = render_network(SAMPLE_CLUSTER, NAME, NETWORK, ORIGIN)


def test_an_origin_is_read_back_beside_all_that_it_does_not_change() -> None:
    domain, plain = parse_domain(DOMAIN_XML), parse_domain(render_domain(SAMPLE_CLUSTER, NODE, DOMAIN, Epochs(boot=1)))
    assert domain is not None
    assert plain is not None
    assert (domain.mark.origin, domain.mark.origin and domain.mark.origin.state_dir) == (ORIGIN, "/state & more")
    assert (plain.mark.origin, plain.domain) == (None, domain.domain)
    network = parse_network(NETWORK_XML, active=True)
    assert network is not None
    assert network.mark == NetworkMark(SAMPLE_CLUSTER, ORIGIN)


def test_a_network_is_signed_in_place_of_what_it_said_before() -> None:
    later = ORIGIN.model_copy(update={"generation": 4, "token": "4e5f"})
    for before in (NETWORK_XML, render_network(SAMPLE_CLUSTER, NAME, NETWORK)):
        signed = signed_network(before, later)
        assert parse_network(signed, active=True) == parse_network(
            render_network(SAMPLE_CLUSTER, NAME, NETWORK, later), active=True
        )
        assert signed.count("token=") == 1


@pytest.mark.parametrize(
    ("written", "altered"),
    [('generation="3"', 'generation="three"'), ('store="0a1b" ', ""), ('token="2c3d"', "")],
)
def test_an_origin_that_we_cannot_have_written_is_not_our_mark(written: str, altered: str) -> None:
    for xml in (DOMAIN_XML, NETWORK_XML):
        assert written in xml
    assert parse_domain(DOMAIN_XML.replace(written, altered)) is None
    assert parse_network(NETWORK_XML.replace(written, altered), active=True) is None
