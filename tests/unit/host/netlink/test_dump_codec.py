"""Answers of the kernel, as Linux 6.18 sent them, for what `nft` and `tc` had made just before."""

import errno

import pytest

from reconciler.host.netlink.dump_codec import (
    DumpRefused,
    RootQueue,
    is_last,
    parse_chains,
    parse_root_queues,
    parse_table_dump,
)

TABLES = bytes.fromhex(
    "44000000000a0200000000005b2d00000700000412000100766d636c75737465722d6c616200000008000300000000000c0004"
    "00000000000000000108000200000000003c000000000a0200000000005b2d0000070000040a0001006f746865720000000800"
    "0300000000000c0004000000000000000002"
    "0800020000000000"
)
QUEUES = bytes.fromhex(
    "b400000024000200000000005b2d0000000000000200000000000700ffffffff0200000008000100687462002400020018000200"
    "110003000a00000000000000000000000000000008000500e803000005000c000000000030000700140001000000000000000000"
    "00000000000000001800030000000000000000000000000000000000000000002c000300000000000000000000000000000000"
    "000000000000000000000000000000000000000000"
)
CHAINS = bytes.fromhex(
    "44000000030a0200000000000e230000020000020b00010066696c74657200000d000300564d432d303132330000"
    "00000c00020000000000000000010800060000000000"
)
DONE = bytes.fromhex("1400000003000200000000005b2d000000000000")
NOT_PERMITTED = bytes.fromhex("240000000200000000000000" + "5b2d0000" + "ffffffff" + "14000000010a01030000000000000000")
INTERRUPTED = bytes.fromhex("1400000003001200000000005b2d000000000000")


def test_tables_are_named() -> None:
    assert list(parse_table_dump(TABLES + DONE)) == ["vmcluster-lab", "other"]


def test_chains_of_iptables_are_named_as_those_of_nftables() -> None:
    assert list(parse_chains(CHAINS + DONE)) == ["VMC-0123"]


def test_a_root_is_told_with_its_kind_and_handle() -> None:
    assert list(parse_root_queues(QUEUES + DONE)) == [RootQueue(index=2, kind="htb", major=7)]


def test_what_stands_below_a_root_is_left_out() -> None:
    below = QUEUES[:28] + (0x70001).to_bytes(4, "little") + QUEUES[32:]
    assert list(parse_root_queues(below)) == []


def test_a_dump_goes_on_until_it_says_that_it_was_all() -> None:
    assert not is_last(TABLES)
    assert is_last(DONE)
    assert is_last(TABLES + DONE)


@pytest.mark.parametrize(("answer", "code"), [(NOT_PERMITTED, errno.EPERM), (INTERRUPTED, errno.EINTR)])
def test_an_error_and_a_dump_that_was_interrupted_are_no_answer(answer: bytes, code: int) -> None:
    with pytest.raises(DumpRefused) as refused:
        is_last(answer)
    assert refused.value.errno == code
