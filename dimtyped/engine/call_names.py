"""The names that a typed call exports for `assert_dims` in its body.

The wrapper of a function whose code mentions `assert_dims` keeps them in a local variable, a dictionary. It holds the
size of each name, for a `*name` of several axes the result of `broadcast_variadic`, and None if nothing has bound
the name yet. Under `CHECKED` it holds the checked function; under `VALUES`, if the variables of the wrapper are not the
parameters, the arguments of the call. The wrapper is found from the frame of the body, so recursion, threads, generators and
coroutines need nothing else.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from dimtyped.runtime import PREFIX

VARIABLE = f"{PREFIX}shared"
ASSERT_NAME, IS_INSTANCE_NAME = f"{PREFIX}assert_dims", f"{PREFIX}is_instance"
"""The names of `assert_dims` and of `is_instance` in a module that the import hook has transformed."""
_ASSERTING = {"assert_dims", ASSERT_NAME, IS_INSTANCE_NAME}
EXPORTER = f"{PREFIX}export_names"
"""The function by which the wrapper of a plain function calls it: nothing is in its frame but this and the arguments."""
CHECKED = ""
"""The key of the checked function."""
VALUES = "()"
"""The key of the arguments, if the variables of the wrapper are not the parameters."""
_FRAMES = 12  # between a body and its wrapper: other decorators, the driver of a generator, a comprehension

wrappers: set[int] = set()
"""The identities of the code objects that keep such a variable."""
code_objects: set[int] = set()
"""The identities of the code objects that they wrap, and of those defined inside."""


class Ambiguous:
    """Stands for the size of a name with more than one size; it equals no size."""


AMBIGUOUS = Ambiguous()


def code_objects_of(function: Callable[..., Any]) -> tuple[types.CodeType, ...]:
    """The code of a function that calls `assert_dims`, under whatever name, with all code inside; else nothing."""
    inner: Any = inspect.unwrap(function)
    outermost = getattr(inner, "__code__", None)
    codes = tuple(_nested(outermost)) if outermost is not None else ()
    for code in codes:
        if _mentions(code, inner):
            return codes
    return ()


def names_assert(names: Iterable[str]) -> bool:
    """Returns True if the names that a code object uses have one by which names are shared."""
    return not _ASSERTING.isdisjoint(names)


def register(wrapper: types.CodeType, inside: tuple[types.CodeType, ...]) -> None:
    """Records that `wrapper` keeps names for the functions whose code is `inside`."""
    if inside:
        wrappers.add(id(wrapper))
        code_objects.update(id(code) for code in inside)


def register_copy(code: types.CodeType, copy: types.CodeType) -> None:
    """Records that a copy of a code object keeps names in the same places as the code."""
    if id(code) in wrappers:
        wrappers.add(id(copy))


def wrapper_around(frame: types.FrameType) -> types.FrameType | None:
    """The frame of the typed call whose body runs in this frame, if more than `EXPORTER` lies between."""
    outer = frame.f_back
    for _ in range(_FRAMES):
        if outer is None:
            return None
        if _exports(outer.f_code):
            shared = outer.f_locals.get(VARIABLE)
            if shared is not None and any(code is frame.f_code for code in shared[CHECKED].declaration.code_objects):
                return outer
        outer = outer.f_back
    return None


def names_of_call(declaration: Any) -> dict[str, Any]:
    """The names of the innermost call of this function, in whose wrapper this runs."""
    frame = inspect.currentframe()
    while frame is not None:
        shared = frame.f_locals.get(VARIABLE) if _exports(frame.f_code) else None
        if shared is not None and shared[CHECKED].declaration is declaration:
            return sizes_in(shared)
        frame = frame.f_back
    return {}


def sizes_in(shared: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes by name that such a variable holds."""
    reserved = (CHECKED, VALUES)
    return {name: size for name, size in shared.items() if name not in reserved and size is not AMBIGUOUS}


def values_in(shared: Mapping[str, Any], wrapper: types.FrameType | None) -> Mapping[str, Any]:
    """The arguments of the call, by the names of its parameters."""
    if VALUES in shared:
        return shared[VALUES]
    values = wrapper.f_locals if wrapper is not None else {}
    return {parameter.name: values[parameter.name] for parameter in shared[CHECKED].declaration.signature.parameters}


def _exports(code: types.CodeType) -> bool:
    return id(code) in wrappers


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _mentions(code: types.CodeType, function: Any) -> bool:
    names = (*code.co_names, *code.co_freevars)
    if not names:
        return False
    if names_assert(names):
        return True
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    full = {name: cell.cell_contents for name, cell in cells if _is_full(cell)}
    known = function.__globals__
    return any(getattr(full.get(name, known.get(name)), "__name__", "") == "assert_dims" for name in names)


def _is_full(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # the variable has no value yet
        return False
