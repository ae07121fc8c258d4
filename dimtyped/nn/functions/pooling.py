"""The pools: channels and spatial axes, and what a window needs."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch.nn.functional as torch_functional

from dimtyped.engine import Form, of_call
from dimtyped.errors import DimensionIndexError, RankError
from dimtyped.nn.contract import (
    UNCHECKED,
    SizeViolation,
    empty,
    is_tensor,
    space,
    too_small_for_fraction,
    too_small_for_window,
)
from dimtyped.nn.functions.function import Function, by_rule, of_layer
from dimtyped.nn.layers.pooling import MaxUnpool1d, MaxUnpool2d, MaxUnpool3d


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    stride = () if stride is None else stride
    return torch_functional.avg_pool2d(
        input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    stride = () if stride is None else stride
    return torch_functional.avg_pool3d(
        input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.adaptive_avg_pool1d(input, output_size)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.adaptive_max_pool1d(input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.adaptive_max_pool2d(input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.adaptive_max_pool3d(input, output_size, return_indices)


def fractional_max_pool2d(
    input: Any,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.fractional_max_pool2d(
        input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def fractional_max_pool3d(
    input: Any,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.fractional_max_pool3d(
        input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def _window_rule(axes: int, *, whole: bool = False) -> Any:
    """A rule for axes that are too short for the window; `whole` if the padding does not count."""

    def rule(*, input: Any, kernel_size: Any, padding: Any = 0, dilation: Any = 1, **_: Any) -> Iterator[SizeViolation]:
        window = SimpleNamespace(kernel_size=kernel_size, padding=0 if whole else padding, dilation=dilation)
        yield from too_small_for_window(axes)(window, input)

    return rule


def _pools(axes: int, *functions: Any, violations: Any = None) -> Iterator[Function]:
    for function in functions:
        rule = violations or _window_rule(axes, whole=function is avg_pool3d)
        form = Form({"input": space(axes)}, space(axes, prefix="out_"))
        yield Function(function, (form,), rank_error=DimensionIndexError, violations=rule)


def _adaptive(axes: int, *functions: Any) -> Iterator[Function]:
    """Adaptive pools. With output size 1, torch's averages take any number of axes before the spatial ones."""
    ones = of_call(f"output_size in (1, {(1,) * axes}, {[1] * axes})")
    for function in functions:
        form = Form({"input": space(axes)}, space(axes, prefix="out_"))
        rare = Form(UNCHECKED, when=is_tensor("input") & ones, rare=True)
        calls = (form, rare) if "avg" in function.__name__ else (form,)
        error = DimensionIndexError if axes == 1 else RankError
        yield Function(function, calls, rank_error=error, violations=by_rule(empty(axes)))


def _fractional(axes: int, *functions: Any) -> Iterator[Function]:
    yield from _pools(axes, *functions, violations=by_rule(too_small_for_fraction(axes)))


def _unpool(axes: int, layer: Any, function: Any) -> tuple[Function, ...]:
    return of_layer(layer, function, checks_first=True, violations=by_rule(empty(axes)))


_F = torch_functional
FUNCTIONS = (
    *_pools(1, max_pool1d, _F.max_pool1d_with_indices, avg_pool1d, _F.lp_pool1d),
    *_pools(2, max_pool2d, _F.max_pool2d_with_indices, avg_pool2d, _F.lp_pool2d),
    *_pools(3, max_pool3d, _F.max_pool3d_with_indices, avg_pool3d, _F.lp_pool3d),
    *_adaptive(1, adaptive_avg_pool1d, adaptive_max_pool1d, _F.adaptive_max_pool1d_with_indices),
    *_adaptive(2, _F.adaptive_avg_pool2d, adaptive_max_pool2d, _F.adaptive_max_pool2d_with_indices),
    *_adaptive(3, _F.adaptive_avg_pool3d, adaptive_max_pool3d, _F.adaptive_max_pool3d_with_indices),
    *_fractional(2, fractional_max_pool2d, _F.fractional_max_pool2d_with_indices),
    *_fractional(3, fractional_max_pool3d, _F.fractional_max_pool3d_with_indices),
    *_unpool(1, MaxUnpool1d, _F.max_unpool1d),
    *_unpool(2, MaxUnpool2d, _F.max_unpool2d),
    *_unpool(3, MaxUnpool3d, _F.max_unpool3d),
)
