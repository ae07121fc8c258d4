"""What each process says, sent to the others through the store of the process group: no collective, which could hang."""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch.distributed as dist
from torch.distributed.distributed_c10d import _get_default_store  # pyright: ignore[reportPrivateUsage]  # nothing public gives it

_SHORTEST, _LONGEST = 0.001, 0.25  # seconds between two looks at the store
_LINGER = 10.0
"""Seconds that a process which is about to raise waits for the others to have read what it says: it may hold the store."""


@dataclass(frozen=True)
class Said:
    """What one process says of its call.

    Attributes:
        row: The processes that split one model with it.
        sizes: The size of each name.
        refusal: Why its call cannot be made; empty if it can.
    """

    row: tuple[int, ...]
    sizes: Mapping[str, int]
    refusal: str = ""


_made: WeakKeyDictionary[Any, Counter[tuple[int, ...]]] = WeakKeyDictionary()
"""How many exchanges each process group has made between the same processes: it tells them apart."""


class Exchange:
    """One exchange between processes. Each of them makes it, and all make their exchanges in one order.

    Args:
        ranks: The processes.
    """

    def __init__(self, ranks: Collection[int]) -> None:
        self._ranks = tuple(ranks)
        self._rank = dist.get_rank()
        self._store: Any = _get_default_store()
        made = _made.setdefault(dist.group.WORLD, Counter())
        made[self._ranks] += 1
        text = ",".join(map(str, self._ranks))
        self._name = f"dimtyped/{zlib.crc32(text.encode())}/{made[self._ranks]}"

    @property
    def seconds(self) -> float:
        """The time after which a process that has not come is given up: the timeout of the process group."""
        return self._store.timeout.total_seconds()

    def say(self, said: Said) -> None:
        """Tells the others."""
        data = {"row": said.row, "sizes": dict(said.sizes), "refusal": said.refusal}
        self._store.set(self._key("said", self._rank), json.dumps(data))

    def hear(self) -> dict[int, Said]:
        """What each process says; without those that have not come in time, or if the store has gone."""
        heard: dict[int, Said] = {}
        for rank in self._present("said", self.seconds):
            data = json.loads(self._store.get(self._key("said", rank)))
            heard[rank] = Said(tuple(data["row"]), data["sizes"], data["refusal"])
        return heard

    def linger(self) -> None:
        """Waits a little for the others to have heard. A process that raises may end, and the store with it."""
        with contextlib.suppress(dist.DistError):  # the process that holds the store has ended already
            self._store.set(self._key("heard", self._rank), "")
            self._present("heard", min(_LINGER, self.seconds))

    def _present(self, what: str, seconds: float) -> list[int]:
        """The processes whose key is there; it waits for all of them."""
        end, pause = time.monotonic() + seconds, _SHORTEST
        while True:
            found = [rank for rank in self._ranks if self._store.check([self._key(what, rank)])]
            if len(found) == len(self._ranks) or time.monotonic() > end:
                return found
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)

    def _key(self, what: str, rank: int) -> str:
        return f"{self._name}/{what}/{rank}"
