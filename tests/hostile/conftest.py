"""The fixtures of a real sshd, which is a hostile node's or only as fast as one."""

from tests.sshd import pool, sshd

__all__ = ["pool", "sshd"]
