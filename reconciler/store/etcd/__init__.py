"""Desired-state records in etcd: one store for the controllers of many hosts."""
