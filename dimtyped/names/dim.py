"""Named sizes: ``Dim``, ``dims`` and the parameter annotation ``DimSize``."""

import ast
import keyword
import operator
import types
from typing import Annotated, NoReturn, SupportsIndex, TypeAlias, Union, final, get_args, get_origin

from torch.compiler import is_compiling
from torch.serialization import (
    add_safe_globals,  # pyright: ignore[reportUnknownVariableType] - torch types its argument with a bare Callable
)

from dimtyped.errors import DeclarationError, with_fields
from dimtyped.runtime import WithoutInternalFrames, strip_internal_frames

_LOOSE, _TIGHT, _WHOLE = 0, 1, 2  # precedence of an expression: a+b, a*b, a
_STRENGTH: dict[type[ast.operator], int] = {ast.Add: _LOOSE, ast.Sub: _LOOSE, ast.Mult: _TIGHT, ast.FloorDiv: _TIGHT}


@final
class Dim(int):
    """A named size: an ``int`` that knows which dimension it is.

    It hashes, compares, formats and computes as its size. ``+ - * //`` with ints and Dims give a Dim named by the
    expression; a negative result and every other operator give a plain int. It cannot be changed.

    Args:
        name: An identifier, as in an annotation: ``"hidden"``.
        size: An int, at least 0.

    Attributes:
        name: The name, or the expression that a derived size came from: ``"2*hidden"``.
        size: The size as a plain int.

    Raises:
        DeclarationError: The name is not an identifier, or the size is negative, a bool, a float or of another type.

    Example:
        >>> hidden = Dim("hidden", 256)
        >>> hidden, 2 * hidden
        (hidden=256, 2*hidden=512)
        >>> f"{hidden}"
        '256'
    """

    name: str

    def __new__(cls, name: str, size: SupportsIndex) -> "Dim":
        """Makes a Dim of a valid name and size."""
        try:
            return _named(_valid_name(name), _valid_size(name, size))
        except DeclarationError as error:
            strip_internal_frames(error)
            raise

    @property
    def size(self) -> int:
        """The size as a plain int."""
        return int(self)

    def __repr__(self) -> str:
        return f"{self.name}={int(self)}"

    def __str__(self) -> str:
        return str(int(self))

    # A subclass of int cannot have the __slots__ that would do the same.
    def __setattr__(self, attribute: str, value: object) -> NoReturn:
        raise AttributeError(f"{self!r} is frozen, {attribute!r} cannot be set: make another Dim")

    def __delattr__(self, attribute: str) -> NoReturn:
        raise AttributeError(f"{self!r} is frozen, {attribute!r} cannot be deleted")

    def __reduce__(self) -> tuple[object, ...]:
        return _named, (self.name, int(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
        """For pydantic: a field annotated `Dim` takes a Dim, or a size to be named as the field is; written as an int."""
        from pydantic_core import core_schema  # noqa: PLC0415  # pydantic alone calls this

        def named(value: object, info: core_schema.ValidationInfo) -> Dim:
            return value if isinstance(value, Dim) else Dim(info.field_name or "size", value)  # type: ignore[arg-type]  # checked there

        sizes = core_schema.union_schema(
            [core_schema.is_instance_schema(cls), core_schema.int_schema(ge=0, strict=True)]
        )
        return core_schema.with_info_after_validator_function(
            named, sizes, serialization=core_schema.plain_serializer_function_ser_schema(int)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, object]:
        """For pydantic: an int of 0 or more."""
        return {"type": "integer", "minimum": 0}

    # Inside a trace each operator below computes with the plain int: TorchDynamo cannot build a subclass of int there,
    # and a trace has no use for the name. Those that give plain ints are here because Dynamo (torch 2.13) gets
    # them wrong if the other side is a tensor or a symbolic size: `tokens == pad` was False, without an error.

    def __add__(self, other: int, /) -> int:
        return int(self) + other if is_compiling() else _derived(int.__add__(self, other), self, "+", other)

    def __radd__(self, other: int, /) -> int:
        return other + int(self) if is_compiling() else _derived(int.__radd__(self, other), other, "+", self)

    def __sub__(self, other: int, /) -> int:
        return int(self) - other if is_compiling() else _derived(int.__sub__(self, other), self, "-", other)

    def __rsub__(self, other: int, /) -> int:
        return other - int(self) if is_compiling() else _derived(int.__rsub__(self, other), other, "-", self)

    def __mul__(self, other: int, /) -> int:
        return int(self) * other if is_compiling() else _derived(int.__mul__(self, other), self, "*", other)

    def __rmul__(self, other: int, /) -> int:
        return other * int(self) if is_compiling() else _derived(int.__rmul__(self, other), other, "*", self)

    def __floordiv__(self, other: int, /) -> int:
        return int(self) // other if is_compiling() else _derived(int.__floordiv__(self, other), self, "//", other)

    def __rfloordiv__(self, other: int, /) -> int:
        return other // int(self) if is_compiling() else _derived(int.__rfloordiv__(self, other), other, "//", self)

    def __truediv__(self, other: int, /) -> float:
        return int(self) / other if is_compiling() else int.__truediv__(self, other)

    def __rtruediv__(self, other: int, /) -> float:
        return other / int(self) if is_compiling() else int.__rtruediv__(self, other)

    def __mod__(self, other: int, /) -> int:
        return int(self) % other if is_compiling() else int.__mod__(self, other)

    def __rmod__(self, other: int, /) -> int:
        return other % int(self) if is_compiling() else int.__rmod__(self, other)

    def __rpow__(self, other: int, modulus: int | None = None, /) -> int | float:
        return other ** int(self) if is_compiling() else int.__rpow__(self, other, modulus)

    def __eq__(self, other: object, /) -> bool:
        return int(self) == other if is_compiling() else int.__eq__(self, other)

    def __ne__(self, other: object, /) -> bool:
        return int(self) != other if is_compiling() else int.__ne__(self, other)

    def __lt__(self, other: int, /) -> bool:
        return int(self) < other if is_compiling() else int.__lt__(self, other)

    def __le__(self, other: int, /) -> bool:
        return int(self) <= other if is_compiling() else int.__le__(self, other)

    def __gt__(self, other: int, /) -> bool:
        return int(self) > other if is_compiling() else int.__gt__(self, other)

    def __ge__(self, other: int, /) -> bool:
        return int(self) >= other if is_compiling() else int.__ge__(self, other)

    def __hash__(self) -> int:
        return hash(int(self))


@WithoutInternalFrames()
def dims(**sizes: SupportsIndex) -> tuple[Dim, ...]:
    """Named sizes, in the order given.

    Args:
        **sizes: A size for each name.

    Raises:
        DeclarationError: As for :class:`Dim`.

    Example:
        >>> vocab, embed = dims(vocab=10_000, embed=128)
        >>> vocab
        vocab=10000
    """
    return tuple(Dim(name, size) for name, size in sizes.items())


class _DimSizeMarker:
    def __repr__(self) -> str:
        return "DimSize"


DimSize: TypeAlias = Annotated[int, _DimSizeMarker()]
"""Annotates an ``__init__`` parameter of a ``dimtyped.nn.Module`` that is a dimension, named as the parameter is.

To a static checker it is ``int``.
"""


def is_dim_size(annotation: object) -> bool:
    """True if an annotation, no longer a string, is ``DimSize`` or a union with it, such as ``DimSize | None``."""
    if get_origin(annotation) is Annotated:
        return any(isinstance(extra, _DimSizeMarker) for extra in get_args(annotation)[1:])
    if get_origin(annotation) in (Union, types.UnionType):
        return any(is_dim_size(member) for member in get_args(annotation))
    return False


def name_of(value: object) -> str | None:
    """The name of a Dim, ``None`` for anything else."""
    return value.name if isinstance(value, Dim) else None


def plain(value: int) -> int:
    """A Dim's size as a plain int; any other value unchanged."""
    return int(value) if isinstance(value, Dim) else value


def shape_text(shape: tuple[int | str, ...]) -> str:
    """`(32, 10)`, and `()` for a scalar."""
    return f"({', '.join(str(size) for size in shape)}{',' if len(shape) == 1 else ''})"


def _valid_name(name: object) -> str:
    if isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name):
        return name
    why = "a Python keyword" if isinstance(name, str) and keyword.iskeyword(name) else "no identifier"
    fix = "give a name such as 'hidden'; a derived size gets its name from arithmetic, 2 * hidden"
    raise with_fields(
        DeclarationError(f"the name of a Dim, {name!r}, is {why}: {fix}"),
        where="Dim",
        argument="name",
        dim=str(name),
        expected="an identifier",
        actual=str(name),
        hint=fix,
    )


def _valid_size(name: str, size: SupportsIndex) -> int:
    """The size as an int of exactly that type; other integer types, such as NumPy's, are converted."""
    if isinstance(size, bool):
        raise _wrong_size(name, size, "is a bool", "give the size itself, an int such as 256")
    try:
        value = int(operator.index(size))
    except TypeError:
        why = f"is of type {type(size).__name__}, must be an int"
        raise _wrong_size(name, size, why, "convert it, int(...), or divide with // instead of /") from None
    if value < 0:
        raise _wrong_size(name, size, "is negative", "a size is 0 or more")
    return value


def _wrong_size(name: str, size: object, why: str, fix: str) -> DeclarationError:
    return with_fields(
        DeclarationError(f"the size of Dim {name!r}, {size!r}, {why}: {fix}"),
        where="Dim",
        argument="size",
        dim=name,
        expected="an int of 0 or more",
        actual=size if isinstance(size, bool | int | float | str) else repr(size),
        hint=fix,
    )


def _named(name: str, size: int) -> Dim:
    """A Dim of any name, including a derived one that is not an identifier. Pickles name this function."""
    dim = int.__new__(Dim, size)
    object.__setattr__(dim, "name", name)
    return dim


def _derived(result: int, left: int, symbol: str, right: int) -> int:
    """The result of ``left symbol right``: a Dim with a derived name if it is a size."""
    if result is NotImplemented or result < 0 or isinstance(left, bool) or isinstance(right, bool):
        return result
    return _named(_expression(left, symbol, right), result)


def _expression(left: int, symbol: str, right: int) -> str:
    """The text of ``left symbol right`` with the parentheses it needs, and no spaces: they separate axes."""
    if symbol in "+-" and not isinstance(right, Dim) and right < 0:
        symbol, right = "-" if symbol == "+" else "+", -right
    strength = _TIGHT if symbol in ("*", "//") else _LOOSE
    return f"{_operand(left, strength)}{symbol}{_operand(right, strength + 1)}"


def _operand(value: int, least: int) -> str:
    if not isinstance(value, Dim):
        return int.__repr__(value)
    return value.name if _strength(value.name) >= least else f"({value.name})"


def _strength(expression: str) -> int:
    if expression.isidentifier():
        return _WHOLE
    body = ast.parse(expression, mode="eval").body
    return _STRENGTH[type(body.op)] if isinstance(body, ast.BinOp) else _WHOLE


# pickles name the package, which stays, not this file, which may move
_named.__module__ = "dimtyped.names"

# torch.load(weights_only=True), the default, then reads a checkpoint that has a Dim among its hyperparameters.
add_safe_globals([_named])
