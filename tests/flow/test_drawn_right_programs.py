"""`check` and `watch` find nothing in programs that are right by the way they are made, drawn at random."""

import torch
from hypothesis import HealthCheck, assume, given, settings

from dimtyped import check, typed, watch
from tests.helpers.drawn_programs import INPUTS, SIZES, is_name, programs

FEW = settings(
    max_examples=max(20, settings.default.max_examples // 5),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@FEW
@given(programs())
def test_check_finds_nothing(program):
    report = check(typed(program.function()))
    assert report.ok, str(report)


@FEW
@given(programs())
def test_watch_finds_nothing(program):
    sizes = dict(zip(SIZES, (5, 7, 11, 6, 13, 3, 4, 17, 2, 9, 8), strict=True))
    inputs = {name: torch.rand([sizes[axis] for axis in axes]) for name, axes in INPUTS.items()}
    inputs["mask"] = inputs["x"][..., 0] > 0.5
    inputs["tokens"] = torch.randint(sizes["vocab"], inputs["mask"].shape)
    function = typed(program.function())
    with watch() as report:
        function(**inputs)
    assert report.ok, str(report)


@FEW
@given(programs())
def test_check_finds_two_names_that_changed_places(program):
    """Programs in which `check` could see nothing would prove nothing."""
    results = {name: program.axes[name] for name in program.results}
    name, axes = list(results.items())[-1]
    named = [index for index, axis in enumerate(axes) if is_name(axis)]
    assume(len({axes[index] for index in named}) > 1)
    first = named[0]
    second = next(index for index in named if axes[index] != axes[first])
    swapped = list(axes)
    swapped[first], swapped[second] = axes[second], axes[first]
    assert not check(typed(program.function({**results, name: tuple(swapped)}))).ok
