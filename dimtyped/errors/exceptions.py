"""The exceptions, and how their fields are set.

No class has an ``__init__`` or ``__new__``, because TorchDynamo cannot trace one. The constructor takes the text; the
fields are set on the instance afterwards. So the errors pickle without help too.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, cast

from jaxtyping import TypeCheckError


class _Fields:
    """The fields of an error, beside its text. They hold sizes and names, never a tensor.

    Attributes:
        where: The function or method, with the layer's path inside its model: ``"Decoder.forward"``. Default: ``""``.
        argument: The argument that does not fit, or ``"return"``. Default: ``""``.
        dim: The name of the dimension that does not fit; empty if the dtype or the type of the value is wrong. If the
            number of axes is wrong: the expected axes, ``"batch seq"``. Default: ``""``.
        expected: The value that was declared or bound before. Default: ``None``.
        actual: The value that was found. Default: ``None``.
        bindings: Each name known at the failure, with its size. Default: empty.
        hint: The fix, where the pattern is known. Default: ``""``.
    """

    where: str = ""
    argument: str = ""
    dim: str = ""
    expected: object = None
    actual: object = None
    bindings: Mapping[str, int | tuple[int, ...]] = MappingProxyType({})
    hint: str = ""

    def to_dict(self) -> dict[str, object]:
        """Returns the error as data that ``json.dumps`` accepts: its type, its message and its fields.

        Returns:
            A dict with the keys ``type``, ``message`` and each attribute's name.

        Example:
            >>> error = DeclarationError("hidden is 128, must be 256")
            >>> error.dim = "hidden"
            >>> error.to_dict()["dim"]
            'hidden'
        """
        fields = {name: _json_ready(getattr(self, name)) for name in _Fields.__annotations__}
        return {"type": type(self).__qualname__, "message": str(self), **fields}


_E = TypeVar("_E", bound=Exception)


def with_fields(error: _E, **fields: object) -> _E:
    """Sets fields of an error and returns it. Not for use inside a trace, which sets them one by one."""
    error.__dict__.update(fields)
    return error


def _json_ready(value: object) -> object:
    if value is None or isinstance(value, bool | float | str):
        return value
    if isinstance(value, int):
        return int(value)  # a Dim becomes its size
    if isinstance(value, Mapping):
        return {str(key): _json_ready(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, tuple | list):
        return [_json_ready(item) for item in cast("Sequence[object]", value)]
    return str(value)


class DimensionError(_Fields, TypeCheckError, RuntimeError):
    """A tensor that does not fit, found at a call.

    It is a ``TypeError``, as all of jaxtyping's are, and a ``RuntimeError``, so that code that caught torch's error
    still catches it.
    """

    __module__ = "dimtyped"


class VocabularyError(DimensionError, IndexError):
    """A token id outside the vocabulary, found at a call."""

    __module__ = "dimtyped"


class _Kind(DimensionError):  # noqa: N818  # users see its subclasses as DimensionError
    """The base of DimensionErrors that also derive from one of torch's exceptions; users see a DimensionError."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (
            type(self).__name__,
            self.args,
            self.__dict__,
        )  # pickled by its own name, not by the one that it shows


def _restored(name: str, arguments: tuple[Any, ...], fields: dict[str, Any]) -> Exception:
    return with_fields(globals()[name](*arguments), **fields)


class DimensionValueError(_Kind, ValueError):
    """A tensor does not fit a layer where torch raises ``ValueError``: InstanceNorm, the losses."""

    __module__ = "dimtyped"
    __qualname__ = "DimensionError"


class RankError(DimensionValueError):
    """A tensor has too few or too many axes for a layer where torch raises ``ValueError``: the RNNs, the BatchNorms."""

    __module__ = "dimtyped"
    __qualname__ = "DimensionError"


class DimensionIndexError(_Kind, IndexError):
    """A tensor lacks an axis that a layer names by its number, where torch raises ``IndexError``: Flatten."""

    __module__ = "dimtyped"
    __qualname__ = "DimensionError"


class DimensionNotImplementedError(_Kind, NotImplementedError):
    """A tensor has too few or too many axes for a layer where torch raises ``NotImplementedError``: Upsample."""

    __module__ = "dimtyped"
    __qualname__ = "DimensionError"


class DimensionAssertionError(_Kind, AssertionError):
    """A tensor does not fit a layer where torch raises ``AssertionError``: MultiheadAttention."""

    __module__ = "dimtyped"
    __qualname__ = "DimensionError"


class DeclarationError(_Fields, ValueError):
    """A declaration that cannot be right, found at construction or decoration.

    Never a ``TypeError``, which jaxtyping and beartype may take for a value that does not fit.
    """

    __module__ = "dimtyped"


class TyingError(DeclarationError):
    """Two layers that cannot share a weight, or a parameter of the wrong shape that is assigned."""

    __module__ = "dimtyped"


class StateError(DeclarationError):
    """A final state of an encoder that the decoder cannot take: layers, directions, hidden size or kind differ."""

    __module__ = "dimtyped"


class DimensionWarning(UserWarning):
    """An annotation that is legal but probably a typo: a name used once that looks like another name misspelled.

    It is shown once for each place. `warnings.filterwarnings("ignore", category=DimensionWarning)` silences it. So does
    `python -W ignore::UserWarning`: Python's `-W` cannot name a class of an installed package, but pytest's can.
    """

    __module__ = "dimtyped"


def declaration_error(
    where: str, problem: str, hint: str = "", *, kind: type[DeclarationError] = DeclarationError, **fields: object
) -> DeclarationError:
    r"""A DeclarationError with its text and its fields, ready to be raised.

    The text is ``where: problem``, and below it the hint as a sentence. An empty line separates them if the problem
    has several lines.

    Args:
        where: The function, class or layer that was declared. A problem that begins with it is not prefixed again.
        problem: What is wrong, with the values.
        hint: What to write instead. Default: none.
        kind: The class of the error. Default: DeclarationError.
        **fields: The other fields of the error: ``argument``, ``dim``, ``expected``, ``actual``, ``bindings``.

    Example:
        >>> declaration_error("Linear", "in_features=-1 is negative", "give an int of 0 or more", argument="in_features")
        DeclarationError('Linear: in_features=-1 is negative\n  Give an int of 0 or more.')
    """
    text = problem if problem.startswith(where) else f"{where}: {problem}"
    if hint:
        end = "" if hint.endswith((".", "?", "!")) else "."
        gap = "\n\n" if "\n" in problem else "\n"
        text += f"{gap}  {hint[0].upper()}{hint[1:]}{end}"
    return with_fields(kind(text), where=where, hint=hint, **fields)
