"""The checks of a module's methods that are switched off, and on again."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch

SWITCHES = "_dim_switches"
"""On a module, or a checked function: its `Switches`, where there are any."""
one_at_a_time = threading.RLock()
"""Held while a module's switches change: two threads may enter a `with` block at once."""
_OFF, _ON, _ALL = "~", "~+", "*"


@dataclass(frozen=True, slots=True, eq=False)
class Switch:
    """One switching, of all methods or of one. It `lasts`, unless a `with` block ends it."""

    is_off: bool
    method: str = _ALL
    lasts: bool = True


class Switches:
    """The switchings of one module, the latest last. Never changed, only replaced. A copy has only those that last."""

    def __init__(self, made: tuple[Switch, ...] = ()) -> None:
        self.made = made
        default, others = False, dict[str, bool]()
        for switch in made:
            if switch.method == _ALL:
                default, others = switch.is_off, {}
            else:
                others[switch.method] = switch.is_off
        named = (f"{_OFF if is_off else _ON}{name}" for name, is_off in sorted(others.items()) if is_off != default)
        self.words: tuple[str, ...] = (*((_OFF + _ALL,) if default else ()), *named)
        """The state in words, which are part of a scope's key."""

    def __reduce__(self) -> tuple[type[Switches], tuple[tuple[Switch, ...]]]:
        return Switches, (self.lasting.made,)

    @property
    def lasting(self) -> Switches:
        """Those that no block ends."""
        return Switches(tuple(switch for switch in self.made if switch.lasts))

    def with_one(self, switch: Switch) -> Switches:
        """These and a later one, without those that lasted until another did."""
        return Switches((*(s for i, s in enumerate(self.made) if not self._is_over(i)), switch))

    def _is_over(self, index: int) -> bool:
        switch = self.made[index]
        later = (other for other in self.made[index + 1 :] if other.lasts)
        return switch.lasts and any(other.method in (switch.method, _ALL) for other in later)

    def without(self, switch: Switch) -> Switches:
        """These without one, if it is there."""
        return Switches(tuple(s for s in self.made if s is not switch))


_NONE = Switches()


def is_switch_word(word: str) -> bool:
    """True for a word of a scope's key that is no name."""
    return word.startswith(_OFF)


def is_off_in(words: tuple[str, ...] | list[str], method: str) -> bool:
    """True if these words of a scope's key switch the checks of a method off."""
    return _OFF + method in words or (_OFF + _ALL in words and _ON + method not in words)


def switches_of(holder: object) -> Switches:
    """The switches of a module or of a checked function."""
    return getattr(holder, "__dict__", {}).get(SWITCHES) or _NONE


def is_switched_off(module: torch.nn.Module, method: str) -> bool:
    """True if the checks of a module's method are switched off."""
    return is_off_in(switches_of(module).words, method)
