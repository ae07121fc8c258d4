"""What is legal and most likely a slip is warned of: once for each place, and not where warnings are off."""

import subprocess
import sys
import warnings

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DimensionWarning, DimSize, nn, typed


def warned(make):
    """The texts that making and calling something warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    return [str(warning.message) for warning in caught if isinstance(warning.message, DimensionWarning)]


def misspelt_parameter():
    class Head(nn.Module):
        def __init__(self, hidden: DimSize):
            super().__init__()
            self.out = nn.Linear(hidden, 3)

        def forward(self, x: Float[Tensor, "batch hiden"]) -> Float[Tensor, "batch 3"]:
            return self.out(x)

    Head(4)(torch.ones(2, 4))


def misspelt_argument():
    @typed
    def f(x: Float[Tensor, "batch hidden"], y: Float[Tensor, "batch hidden"], z: Float[Tensor, "hiden"]): ...

    f(torch.ones(2, 4), torch.ones(2, 4), torch.ones(5))


def once_beside_a_twin_used_once():
    @typed
    def f(x: Float[Tensor, "batch seq"], y: Float[Tensor, "bacth embed"]): ...

    f(torch.ones(2, 4), torch.ones(3, 4))


def broadcast_to_nothing():
    @typed
    def f(x: Float[Tensor, "rows hidden"], y: Float[Tensor, "#batch hidden"]): ...

    f(torch.ones(2, 4), torch.ones(1, 4))


SUSPICIOUS = {
    misspelt_parameter: "`hiden` is used once in the annotations, so any size fits. Did you mean `hidden`, which is declared?",
    misspelt_argument: "`hiden` is used once in the annotations, so any size fits. "
    "Did you mean `hidden`, which the annotations use twice?",
    once_beside_a_twin_used_once: "`bacth` is used once in the annotations, so any size fits. "
    "Did you mean `batch`, which the annotations use once?",
    broadcast_to_nothing: "`#batch` broadcasts to an axis `batch`, but no other axis has that name: any size fits.",
}


@pytest.mark.parametrize(("make", "text"), SUSPICIOUS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_suspicious_is_told_once(make, text):
    (told,) = warned(make)
    assert told.endswith(f": {text}")


def names_of_their_own():
    @typed
    def f(
        x: Float[Tensor, "batch seq"],
        y: Float[Tensor, "batch source"],
        dim1: Float[Tensor, "d1"],
        dim2: Float[Tensor, "d2"],
        q: Float[Tensor, "q_heads"],
        k: Float[Tensor, "k_heads"],
        few: Float[Tensor, "in_features"],
        many: Float[Tensor, "n_features"],
        row: Float[Tensor, "#n"],
        wide: Float[Tensor, "#batch"],
    ) -> Float[Tensor, "target"]:
        return x

    with pytest.raises(TypeError):
        f()


def every_name_twice():
    @typed
    def f(x: Float[Tensor, "hidden hiden"], y: Float[Tensor, "hidden hiden"]): ...

    f(torch.ones(2, 3), torch.ones(2, 3))


@pytest.mark.parametrize("make", [names_of_their_own, every_name_twice], ids=lambda make: make.__name__)
def test_what_is_usual_is_not_spoken_of(make):
    assert warned(make) == []


CODE = """\
import torch, warnings
from jaxtyping import Float
from torch import Tensor
from dimtyped import DimSize, nn

for size in (4, 5):

    class Head(nn.Module):  # made anew, at the same place
        def __init__(self, hidden: DimSize):
            super().__init__()
            self.out = nn.Linear(hidden, 3)

        def forward(self, x: Float[Tensor, "batch hiden"]) -> Float[Tensor, "batch 3"]:
            return self.out(x)

    model = Head(size)
    model(torch.ones(2, size))
    model(torch.ones(3, size))
    with warnings.catch_warnings():  # makes Python forget what it told
        pass
print("ran")
"""


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ([], 1),
        (["-W", "default"], 1),
        (["-W", "ignore"], 0),
        (["-W", "ignore::UserWarning"], 0),
    ],
    ids=["default", "-W default", "-W ignore", "-W ignore::UserWarning"],
)
def test_once_for_each_place_and_off_under_w(options, count, tmp_path):
    file = tmp_path / "model.py"
    file.write_text(CODE)
    ran = subprocess.run([sys.executable, *options, file], capture_output=True, text=True, check=True)
    assert ran.stdout == "ran\n"
    assert ran.stderr.count("DimensionWarning: Head.forward: `hiden` is used once") == count
    if count:
        line = 1 + CODE.splitlines().index(next(line for line in CODE.splitlines() if "def forward" in line))
        assert f"{file}:{line}: " in ran.stderr


def test_its_own_class_can_be_silenced():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", category=DimensionWarning)
        misspelt_parameter()
    assert caught == []
