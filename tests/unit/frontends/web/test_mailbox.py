"""What waits for a viewer is bounded."""

import json

from reconciler.frontends.web.mailbox import MOST_BYTES, MOST_ITEMS, Mailbox


async def test_of_a_state_only_the_newest_waits() -> None:
    mailbox = Mailbox()
    for number in range(10_000):
        mailbox.put_state("cluster", b"%d" % number)
    assert await mailbox.take(timeout_s=1) == [("cluster", b"9999")]


async def test_states_are_read_in_the_order_in_which_they_came_to_be() -> None:
    mailbox = Mailbox()
    for kind, state in (("cluster", b"1"), ("gone", b"2"), ("cluster", b"3")):
        mailbox.put_state(kind, state)
    assert await mailbox.take(timeout_s=1) == [("gone", b"2"), ("cluster", b"3")]


async def test_what_is_void_is_not_read_and_what_comes_later_is() -> None:
    mailbox = Mailbox()
    mailbox.put_items("console", [b"1"])
    mailbox.clear_items("console")
    mailbox.put_items("console", [b"2"])
    assert await mailbox.take(timeout_s=1) == [
        ("console-cleared", b"{}"),
        ("console", b'{"missed":0,"items":[2]}'),
    ]


async def test_items_that_do_not_fit_are_counted() -> None:
    mailbox = Mailbox()
    mailbox.put_items("events", (b"%d" % number for number in range(MOST_ITEMS + 5)))
    ((kind, content),) = await mailbox.take(timeout_s=1)
    waiting = json.loads(content)
    assert (kind, waiting["missed"], waiting["items"][0], len(waiting["items"])) == ("events", 5, 5, MOST_ITEMS)


async def test_large_items_are_bounded_by_their_size() -> None:
    mailbox = Mailbox()
    mailbox.put_items("console", [b'"%b"' % (b"x" * 100_000)] * 50)
    ((_, content),) = await mailbox.take(timeout_s=1)
    assert len(content) < MOST_BYTES + 1000
    assert json.loads(content)["missed"] == 40


async def test_silence_ends_in_time_and_a_closed_one_is_emptied_first() -> None:
    mailbox = Mailbox()
    assert await mailbox.take(timeout_s=0.001) == []
    mailbox.put_state("cluster", b"1")
    mailbox.close()
    assert not mailbox.closed
    assert await mailbox.take(timeout_s=1) == [("cluster", b"1")]
    assert mailbox.closed
    assert await mailbox.take(timeout_s=1) == []
