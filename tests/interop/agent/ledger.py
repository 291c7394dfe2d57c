"""What the agent and the test tell each other beside the calls, keyed by the check's name.

The test confirms events, the agent waits for it; the agent notes what it saw, the
test waits for it. This is what replaces clocks: nobody guesses how long a step takes,
and the only time limit is a guard against hanging for ever.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

KEY_HEADER = 'x-check'


@dataclass
class Answer:
    """One HTTP answer as the agent sent it."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b''


@dataclass
class Entry:
    """The state of one check."""

    emitted: int = -1
    confirmed: int = -1
    answer: Answer | None = None
    facts: set[str] = field(default_factory=set)


class Ledger:
    """All entries, and one condition that wakes everybody on every change."""

    def __init__(self, guard_seconds: float) -> None:
        self.guard_seconds = guard_seconds
        self.calls = 0
        self.refusals: list[str] = []
        self._entries: dict[str, Entry] = defaultdict(Entry)
        self._changed = asyncio.Condition()

    def entry(self, key: str) -> Entry:
        """The entry of a check, made on first use."""
        return self._entries[key]

    async def note(self, key: str, fact: str) -> None:
        """Records that something happened in a check."""
        async with self._changed:
            self.entry(key).facts.add(fact)
            self._changed.notify_all()

    async def until_noted(self, key: str, fact: str) -> bool:
        """Waits for a fact; false when the guard ran out first."""
        return await self._until(lambda: fact in self.entry(key).facts)

    async def confirm(self, key: str, number: int) -> int:
        """Confirms an event and returns how many the agent had emitted before that."""
        async with self._changed:
            entry = self.entry(key)
            emitted = entry.emitted
            entry.confirmed = max(entry.confirmed, number)
            self._changed.notify_all()
            return emitted

    async def until_confirmed(self, key: str, number: int) -> None:
        """Waits until the client has confirmed an event."""
        if not await self._until(lambda: self.entry(key).confirmed >= number):
            raise TimeoutError(f'{key}: event {number} was never confirmed')

    async def _until(self, holds) -> bool:
        async with self._changed:
            try:
                async with asyncio.timeout(self.guard_seconds):
                    await self._changed.wait_for(holds)
            except TimeoutError:
                return False
            return True
