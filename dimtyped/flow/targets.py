"""The targets of check: a module, a function or a method, or a class or factory that makes a module."""

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from dimtyped.annotations import Signature, arrays_in, read_signature
from dimtyped.engine import entry_of
from dimtyped.errors import DeclarationError
from dimtyped.flow.copies import can_be_real, modules_beside, real_copy, undisturbed
from dimtyped.flow.inputs import Maker
from dimtyped.flow.sizes import LADDERS
from dimtyped.names import is_dim_size, scope_of

_COUNTS = ("heads", "layers", "groups", "depth", "blocks", "experts", "stages", "num", "n", "count", "directions")

_COMPILED = "_orig_mod"  # the attribute in which torch.compile keeps the module


@dataclass(frozen=True)
class Target:
    """A callable that check runs.

    Args:
        call: The module, function or method.
        function: The function whose parameters it has.
        owner: The module whose method it is, if it is one.
        signature: Its annotations; None where it has none.
        remake: Makes the module of real tensors, where `owner` is on meta.
        option: Which of a union's annotations of tensors its inputs are made from.
    """

    call: Callable[..., Any]
    function: Callable[..., Any]
    owner: torch.nn.Module | None
    signature: Signature | None
    remake: Callable[[], torch.nn.Module] | None = None
    option: int = 0

    @property
    def where(self) -> str:
        """Its name in errors."""
        if isinstance(self.call, torch.nn.Module):
            return f"{type(self.call).__name__}.forward"
        return (
            self.signature.where if self.signature is not None else getattr(self.call, "__qualname__", str(self.call))
        )

    @property
    def declared(self) -> dict[str, int]:
        """The names that have a size before the call."""
        own = dict(self.signature.fixed) if self.signature is not None else {}
        return {**scope_of(self.owner).names, **own} if self.owner is not None else own

    @property
    def own_sizes(self) -> frozenset[int]:
        """The sizes of its parameters and buffers, which a name must not have by chance."""
        held = [*self.owner.parameters(), *self.owner.buffers()] if self.owner is not None else []
        return frozenset(size for tensor in held for size in tensor.shape)

    @property
    def maker(self) -> Maker:
        """The Maker of its arguments."""
        parameters = self.signature.parameters if self.signature is not None else ()
        if self.owner is not None:
            parameters = parameters[1:]
        values = {self.signature.parameters[0].name: self.owner} if self.signature and self.owner is not None else {}
        held = [*self.owner.parameters(), *self.owner.buffers()] if self.owner is not None else []
        floats = [tensor.dtype for tensor in held if tensor.is_floating_point()]
        device = next((tensor.device for tensor in held if not tensor.is_meta), torch.device("cpu"))
        dtype = floats[0] if floats else torch.get_default_dtype()
        return Maker(self.where, parameters, values, device, dtype, self.option)

    @property
    def modules(self) -> list[torch.nn.Module]:
        """The modules that a run on copies could still change."""
        return modules_beside(inspect.unwrap(self.function))

    def can_be_real(self, arguments: Mapping[str, Any]) -> bool:
        """True if it can run on real tensors, on a copy."""
        return can_be_real([self.owner, *arguments.values()])

    def copied(self, copier: Callable[[Any], Any], arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """A copy of the call and of its arguments, which share the same objects as before."""
        owner, given = copier((self.owner, dict(arguments)))
        return self._call_of(owner), given

    def made_real(self, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """A copy of the call and of its arguments on real tensors."""
        if self.remake is None:
            return self.copied(real_copy, arguments)
        return self._call_of(self.remake()), real_copy(dict(arguments))

    def _call_of(self, owner: Any) -> Any:
        if self.owner is None:
            return self.call
        return owner if isinstance(self.call, torch.nn.Module) else types.MethodType(self.function, owner)


def target_of(thing: Any) -> Target:
    """A module, function or method as a target.

    Raises:
        DeclarationError: It is something else, or an annotation cannot be resolved.
    """
    if isinstance(thing, torch.nn.Module) and isinstance(thing._modules.get(_COMPILED), torch.nn.Module):
        return target_of(thing._modules[_COMPILED])
    if isinstance(thing, torch.nn.Module):
        _reject_lazy(thing)
        held: Any = thing.__dict__.get("forward", type(thing).forward)
        return _target(thing, getattr(held, "__func__", held), thing)
    if isinstance(thing, types.MethodType) and isinstance(thing.__self__, torch.nn.Module):
        return _target(thing, thing.__func__, thing.__self__)
    if callable(thing) and not isinstance(thing, type):
        _reject_unreadable(thing)
        return _target(thing, thing, None)
    raise DeclarationError(
        f"check takes a module, a function, or a class that makes a module, not {_text(thing)}\n"
        "  Write check(model), check(typed_function) or check(ModelClass)."
    )


def _reject_unreadable(function: Any) -> None:
    """Raises for a function of torch's or Python's own, whose parameters nothing says, and for one that runs later."""
    name = getattr(function, "__name__", _text(function))
    try:
        inspect.signature(function)
    except ValueError:
        raise DeclarationError(
            f"{name} has no signature that Python can read\n  Check a function of yours that calls it."
        ) from None
    inner = inspect.unwrap(function)
    kinds = {
        "a coroutine function": inspect.iscoroutinefunction,
        "a generator function": inspect.isgeneratorfunction,
        "an async generator function": inspect.isasyncgenfunction,
    }
    kind = next((kind for kind, is_kind in kinds.items() if is_kind(inner)), None)
    if kind is not None:
        raise DeclarationError(
            f"{name} is {kind}: a call of it runs nothing yet\n"
            "  Check a function that runs it, or run it inside `with watch() as report:`."
        )


def _reject_lazy(module: torch.nn.Module) -> None:
    for path, member in module.named_modules():
        held = (*member._parameters.values(), *member._buffers.values())
        if any(is_lazy(tensor) for tensor in held if tensor is not None):
            name = f"{type(module).__name__}{f'.{path}' if path else ''}"
            raise DeclarationError(f"{name} has no sizes yet\n  Call it once: its first input determines them.")


def _target(call: Any, function: Any, owner: torch.nn.Module | None) -> Target:
    entry = entry_of(function)
    if entry is not None and not entry.declaration.is_users:
        return Target(call, function, owner, None)
    is_torchs = str(getattr(function, "__module__", "")).startswith("torch.")
    signature = None if is_torchs else entry.signature if entry is not None else read_signature(function)
    return Target(call, function, owner, signature)


def is_annotated(target: Target) -> bool:
    """True if inputs can be made: each parameter without a default is annotated, one of them as a tensor."""
    return any(arrays_in(p.hint) for p in target.maker.parameters)


# Classes and factories --------------------------------------------------------------------------------------------------


def makes_module(thing: Any, arguments: Mapping[str, Any] | None) -> bool:
    """True for a module's class, and for a function that makes one."""
    if isinstance(thing, type):
        return issubclass(thing, torch.nn.Module)
    if isinstance(thing, partial):
        return makes_module(thing.func, arguments)
    if isinstance(thing, (torch.nn.Module, types.MethodType)) or not callable(thing):
        return False
    if arguments is not None:
        return True
    hints = hints_of(thing)
    returned = hints.get("return")
    return (isinstance(returned, type) and issubclass(returned, torch.nn.Module)) or any(
        map(is_dim_size, hints.values())
    )


@dataclass(frozen=True)
class Factory:
    """A class or function that makes a module.

    Args:
        make: The class or function.
        sizes: Sizes of its `DimSize` parameters.
        arguments: Its other arguments.
    """

    make: Callable[..., Any]
    sizes: Mapping[str, int]
    arguments: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name in errors."""
        make: Any = self.make.func if isinstance(self.make, partial) else self.make
        return getattr(make, "__name__", str(make))

    def targets(self) -> Iterator[tuple[Target, dict[str, int]]]:
        """A module for each choice of sizes that it takes, and the sizes.

        Raises:
            DeclarationError: It takes other arguments, or raises for all sizes that were tried.
        """
        failures, is_made = list[str](), False
        for sizes in self._choices(self._dims()):
            try:
                made = self._made(sizes)
            except (ValueError, TypeError, AssertionError, RuntimeError, ZeroDivisionError) as error:
                failures.append(
                    f"with {_sizes_text(sizes)}: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
                )
                continue
            except Exception as error:
                error.add_note(f"dimtyped: check made {self.name} with {_sizes_text(sizes)}; it raised this itself")
                raise
            is_made = True
            yield replace(target_of(self._module(made)), remake=partial(self.make, **self.arguments, **sizes)), sizes
        if not is_made:
            raise DeclarationError(
                f"{self.name} cannot be made to check it\n  {failures[0]}\n"
                f"  Give its sizes: check({self.name}, sizes={{...}}), or check a module that you made."
            )

    def _made(self, sizes: Mapping[str, int]) -> Any:
        """The result of the factory with these sizes, on meta if it can be made there."""
        with undisturbed():
            try:
                with torch.device("meta"):
                    return self.make(**self.arguments, **sizes)
            except Exception:  # noqa: BLE001 - it may read values; if the sizes are wrong, it raises again
                return self.make(**self.arguments, **sizes)

    def _module(self, made: Any) -> torch.nn.Module:
        if not isinstance(made, torch.nn.Module):
            raise DeclarationError(
                f"{self.name} makes {_text(made)}, not a module\n  Give check a module, or a class or function that makes one."
            )
        return made

    def _dims(self) -> list[str]:
        """The parameters that get sizes; the others must be given.

        Raises:
            DeclarationError: One is neither given nor a `DimSize`, or is given and unknown.
        """
        made: Any = self.make
        signature = inspect.signature(made)
        hints = hints_of(made)
        known = signature.parameters
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
        for name in (*self.sizes, *self.arguments):
            if name not in known and not takes_any:
                raise DeclarationError(f"{self.name} has no parameter `{name}`\n  It takes {signature}.")
        dims = [name for name in known if is_dim_size(hints.get(name)) and name not in self.arguments]
        required = [
            name
            for name, parameter in known.items()
            if parameter.default is inspect.Parameter.empty
            and parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        ]
        missing = [name for name in required if name not in (*dims, *self.sizes, *self.arguments)]
        if missing:
            given = ", ".join(f"{name!r}: ..." for name in missing)
            raise DeclarationError(
                f"{self.name} needs {', '.join(f'`{name}`' for name in missing)}, which is not a DimSize\n"
                f"  Give it: check({self.name}, arguments={{{given}}})."
            )
        return [name for name in dims if name not in self.sizes and (name in required or not _has_size(known[name]))]

    def _choices(self, dims: list[str]) -> list[dict[str, int]]:
        """Sizes to try: distinct primes; then counts that divide the rest; then the same, doubled."""
        taken = set(self.sizes.values())
        primes = [size for size in LADDERS[0][3:] + LADDERS[1] if size not in taken]
        first = dict(zip(dims, primes, strict=False))
        counts = [name for name in dims if not set(name.split("_")).isdisjoint(_COUNTS)]
        others = [name for name in dims if name not in counts]
        divided: list[dict[str, int]] = []
        for step in (24, 96):
            wide = dict(zip(others, range(step, 100 * step, step), strict=False))
            divided += [{**dict(zip(counts, few, strict=False)), **wide} for few in ((2, 3, 4, 6), (4, 2, 3, 8))]
        found = [{**self.sizes, **choice} for choice in (first, *divided)]
        return [choice for place, choice in enumerate(found) if choice not in found[:place]]


def _has_size(parameter: inspect.Parameter) -> bool:
    return isinstance(parameter.default, int)


def hints_of(make: Any) -> dict[str, Any]:
    """The annotations of a constructor or factory, strings resolved as far as they can be."""
    if isinstance(make, partial):
        given = {**dict.fromkeys(list(inspect.signature(make.func).parameters)[: len(make.args)]), **make.keywords}
        return {name: hint for name, hint in hints_of(make.func).items() if name not in given}
    function = make.__init__ if isinstance(make, type) else make
    known = {**getattr(inspect.unwrap(function), "__globals__", {})}
    found: dict[str, Any] = {}
    for name, hint in getattr(inspect.unwrap(function), "__annotations__", {}).items():
        try:
            found[name] = eval(hint, known) if isinstance(hint, str) else hint  # the user's own annotation
        except (NameError, SyntaxError, AttributeError, TypeError):
            found[name] = None
    return found


def _sizes_text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items()) or "no sizes"


def _text(thing: object) -> str:
    return f"{thing!r:.60} of type {type(thing).__name__}"
