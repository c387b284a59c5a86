"""Looks that are shared: never older than the question, and never more of them than needed."""

import asyncio

from reconciler.errors import LibvirtUnavailable
from reconciler.host.shared_observation import SharedObservation


class Host:
    """Counts how often it is looked at; a look takes until it is let go."""

    def __init__(self) -> None:
        self.looks = 0
        self.away = False
        self.go = asyncio.Event()

    async def look(self) -> int:
        self.looks += 1
        mine = self.looks
        await self.go.wait()
        if self.away:
            raise LibvirtUnavailable("away")
        return mine


async def test_all_who_ask_before_a_look_begins_share_it() -> None:
    host = Host()
    host.go.set()
    look = SharedObservation(host.look)
    assert await asyncio.gather(*(look() for _ in range(100))) == [1] * 100
    assert await look() == 2


async def test_who_asks_while_a_look_is_under_way_gets_a_later_one() -> None:
    host = Host()
    look = SharedObservation(host.look)
    first = asyncio.create_task(look())
    while host.looks == 0:
        await asyncio.sleep(0)
    late = [asyncio.create_task(look()) for _ in range(3)]
    await asyncio.sleep(0)
    host.go.set()
    assert await first == 1
    assert await asyncio.gather(*late) == [2, 2, 2]


async def test_who_stops_waiting_does_not_end_it_for_the_others() -> None:
    host = Host()
    look = SharedObservation(host.look)
    impatient, patient = asyncio.create_task(look()), asyncio.create_task(look())
    while host.looks == 0:
        await asyncio.sleep(0)
    impatient.cancel()
    host.go.set()
    assert await patient == 1


async def test_an_error_is_everybodys_and_the_next_look_is_a_new_one() -> None:
    host = Host()
    host.away = True
    host.go.set()
    look = SharedObservation(host.look)
    found = await asyncio.gather(look(), look(), return_exceptions=True)
    assert [type(of) for of in found] == [LibvirtUnavailable, LibvirtUnavailable]
    host.away = False
    assert await look() == 2
