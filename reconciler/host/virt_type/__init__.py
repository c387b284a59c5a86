"""Decides what `virt_type: auto` stands for: whether KVM truly works here."""

from reconciler.host.virt_type.kvm_access import kvm_access_problem
from reconciler.host.virt_type.probe import KvmVerdict, probe_kvm

__all__ = ["KvmVerdict", "kvm_access_problem", "probe_kvm"]
