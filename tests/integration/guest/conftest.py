"""The fixtures of a real sshd on the loopback interface."""

from tests.sshd import own_sshd, pool, sshd

__all__ = ["own_sshd", "pool", "sshd"]
