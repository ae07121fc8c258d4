"""The same checks written for every library: a subject says what to check, a peer writes it its own way.

The text of each function is generated, so that all check the same tensors; `python -m benchmarks.peers` prints it.
"""

from __future__ import annotations

import itertools
import linecache
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

import dimtyped
from benchmarks.machine import installed
from benchmarks.measure import Absent, Candidate, first_line

_numbers = itertools.count()


@dataclass(frozen=True)
class Subject:
    """A function to check.

    Args:
        inputs: The axes of each tensor that goes in, as jaxtyping writes them.
        output: The axes of the first of them, which comes out.
        sizes: The size of each axis name.
    """

    inputs: tuple[str, ...]
    output: str
    sizes: dict[str, int]

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Arguments that fit."""
        return tuple(torch.zeros([self.sizes[name] for name in axes.split()]) for axes in self.inputs)

    def wrong_tensors(self) -> tuple[torch.Tensor, ...]:
        """Arguments for a call that must fail: the last tensor lacks an axis."""
        return (*self.tensors()[:-1], torch.zeros([self.sizes[name] for name in self.inputs[-1].split()[1:]]))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(f"x{index}" for index in range(len(self.inputs)))


# The function of the headline: one tensor in, one out, three names.
ONE = Subject(("batch seq embed",), "batch seq embed", {"batch": 2, "seq": 3, "embed": 4})


@dataclass(frozen=True)
class Peer:
    """A way to check a subject.

    Args:
        label: Its name in the tables.
        source: Writes the function, undecorated.
        decorate: Adds the check.
        needs: The modules that it imports.
        note: What a reader must know of it.
    """

    label: str
    source: Callable[[Subject], str]
    decorate: Callable[[Any], Any] = lambda function: function
    needs: tuple[str, ...] = ()
    note: str = ""

    def define(self, subject: Subject) -> Any:
        """The function before it is decorated, new each time."""
        return function_from(self.source(subject))

    def checked(self, subject: Subject) -> Any:
        """The function with its check."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # typeguard warns where it cannot check; `candidate` finds that out
            return self.decorate(self.define(subject))

    def candidate(self, subject: Subject, *, must_check: bool = True) -> Candidate | Absent:
        """The check as a candidate, if it is installed, accepts a right call and rejects a wrong one."""
        if not installed(*self.needs):
            return Absent(self.label, "not installed")
        try:
            function = self.checked(subject)
            function(*subject.tensors())
        except Exception as error:  # noqa: BLE001  # that a peer cannot run is a result
            return Absent(self.label, "cannot run", first_line(error))
        if must_check and not _refuses(function, subject):
            return Absent(self.label, "cannot run", "accepts a tensor that lacks an axis: it checks nothing here")
        return Candidate(self.label, function, subject.tensors(), note=self.note)


def _refuses(function: Any, subject: Subject) -> bool:
    try:
        function(*subject.wrong_tensors())
    except Exception:  # noqa: BLE001  # each library raises its own
        return True
    return False


def function_from(source: str, **names: Any) -> Any:
    """Runs the text as a module that knows `names`, and whose lines `inspect` finds: typeguard reads them."""
    name = f"<benchmarks {next(_numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    module = types.ModuleType(f"benchmarks_{name.strip('<>').replace(' ', '_')}")
    module.__file__ = name
    module.__dict__.update(names)
    sys.modules[module.__name__] = module
    exec(compile(source, name, "exec"), module.__dict__)
    return module.__dict__["function"]


# What each library's user writes --------------------------------------------------------------------------------------


def _plain(subject: Subject) -> str:
    return f"def function({', '.join(subject.parameters)}):\n    return x0\n"


def _asserts(subject: Subject) -> str:
    seen: set[str] = set()
    lines = [line for pair in zip(subject.parameters, subject.inputs, strict=True) for line in _assert(*pair, seen)]
    lines += ["out = x0", *_assert("out", subject.output, seen), "return out"]
    body = "".join(f"    {line}\n" for line in lines)
    return f"from torch import Tensor\ndef function({', '.join(subject.parameters)}):\n{body}"


def _assert(value: str, axes: str, seen: set[str]) -> Iterator[str]:
    names = axes.split()
    is_float = f"assert isinstance({value}, Tensor) and {value}.is_floating_point()"
    if seen.issuperset(names):
        yield f"{is_float} and {value}.shape == ({_unpacked(names)})"
        return
    yield f"{is_float} and {value}.dim() == {len(names)}"
    yield f"{_unpacked([f'{value}_{name}' if name in seen else name for name in names])} = {value}.shape"
    again = [f"{value}_{name} == {name}" for name in names if name in seen]
    if again:
        yield f"assert {' and '.join(again)}"
    seen.update(names)


def _unpacked(names: list[str]) -> str:
    return f"{names[0]}," if len(names) == 1 else ", ".join(names)


def _annotated(imports: str, write: str) -> Callable[[Subject], str]:
    """Annotations under names of their own: typeguard 4 takes the string in `Float[Tensor, "a b"]` for Python."""

    def source(subject: Subject) -> str:
        hints = [*(write.format(axes) for axes in subject.inputs), write.format(subject.output)]
        aliases = "".join(f"A{index} = {hint}\n" for index, hint in enumerate(hints))
        parameters = ", ".join(f"{name}: A{index}" for index, name in enumerate(subject.parameters))
        return f"{imports}\n{aliases}\ndef function({parameters}) -> A{len(hints) - 1}:\n    return x0\n"

    return source


_jaxtyping = _annotated("from jaxtyping import Float\nfrom torch import Tensor", 'Float[Tensor, "{}"]')
_dltype = _annotated(
    "from typing import Annotated\nfrom dltype import FloatTensor\nfrom torch import Tensor",
    'Annotated[Tensor, FloatTensor["{}"]]',
)


def _torchtyping(subject: Subject) -> str:
    hints = [", ".join(f'"{name}"' for name in axes.split()) for axes in (*subject.inputs, subject.output)]
    aliases = "".join(f"A{index} = TensorType[{hint}, float]\n" for index, hint in enumerate(hints))
    parameters = ", ".join(f"{name}: A{index}" for index, name in enumerate(subject.parameters))
    imports = "from torchtyping import TensorType"
    return f"{imports}\n{aliases}\ndef function({parameters}) -> A{len(hints) - 1}:\n    return x0\n"


def _check_shapes(subject: Subject) -> str:
    pairs = zip((*subject.parameters, "return"), (*subject.inputs, subject.output), strict=True)
    specs = ", ".join(f'"{name}: [{", ".join(axes.split())}]"' for name, axes in pairs)
    return f"from check_shapes import check_shapes\ncheck = check_shapes({specs})\n{_plain(subject)}"


# How each library adds its check --------------------------------------------------------------------------------------


def in_mode(mode: str, make: Callable[[], Any]) -> Any:
    """Runs `make` while the mode is another."""
    before = dimtyped.runtime.config.mode()
    dimtyped.configure(mode)
    try:
        return make()
    finally:
        dimtyped.configure(before)


def _jaxtyped(typechecker: str, attribute: str) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        import jaxtyping  # noqa: PLC0415  # a peer is imported when it is timed

        return jaxtyping.jaxtyped(typechecker=getattr(__import__(typechecker), attribute))(function)

    return decorate


def _jaxtyped_over_typeguard(function: Any) -> Any:
    import jaxtyping  # noqa: PLC0415  # a peer is imported when it is timed
    import typeguard  # noqa: PLC0415

    return jaxtyping.jaxtyped(typechecker=None)(typeguard.typechecked(function))


def _dltyped(function: Any) -> Any:
    import dltype  # noqa: PLC0415  # a peer is imported when it is timed

    return dltype.dltyped()(function)


def _torchtyped(function: Any) -> Any:
    import torchtyping  # noqa: PLC0415  # a peer is imported when it is timed
    import typeguard  # noqa: PLC0415

    torchtyping.patch_typeguard()
    return typeguard.typechecked(function)


UNTYPED = Peer("untyped", _plain)
ASSERTS = Peer("asserts by hand", _asserts)
OFF = Peer("dimtyped, off", _jaxtyping, lambda function: in_mode("off", lambda: dimtyped.typed(function)))
DIMTYPED = Peer("dimtyped", _jaxtyping, dimtyped.typed)
REFERENCE = Peer("dimtyped, reference", _jaxtyping, lambda f: in_mode("reference", lambda: dimtyped.typed(f)))
JAXTYPING = Peer("jaxtyping + beartype", _jaxtyping, _jaxtyped("beartype", "beartype"))
TYPEGUARD = Peer(
    "jaxtyping + typeguard",
    _jaxtyping,
    _jaxtyped_over_typeguard,
    needs=("typeguard",),
    note="as two decorators, `@jaxtyped(typechecker=None)` over `@typechecked`",
)
TYPEGUARD_INSIDE = Peer(
    "jaxtyped(typechecker=typeguard)", _jaxtyping, _jaxtyped("typeguard", "typechecked"), needs=("typeguard",)
)
DLTYPE = Peer("dltype", _dltype, _dltyped, needs=("dltype",))
CHECK_SHAPES = Peer(
    "check_shapes",
    _check_shapes,
    lambda function: function.__globals__["check"](function),
    needs=("check_shapes",),
    note="shapes only, no dtype",
)
TORCHTYPING = Peer("torchtyping + typeguard", _torchtyping, _torchtyped, needs=("torchtyping", "typeguard"))

OTHERS = (JAXTYPING, TYPEGUARD, TYPEGUARD_INSIDE, DLTYPE, CHECK_SHAPES, TORCHTYPING)
ALL = (UNTYPED, OFF, ASSERTS, DIMTYPED, REFERENCE, *OTHERS)


def candidates(peers: typing.Iterable[Peer], subject: Subject) -> list[Candidate | Absent]:
    """The candidates of these peers."""
    return [peer.candidate(subject, must_check=peer not in (UNTYPED, OFF)) for peer in peers]


if __name__ == "__main__":
    for each in ALL:
        print(f"# {each.label}\n{each.source(ONE)}")
