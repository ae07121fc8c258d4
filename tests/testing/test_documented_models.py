"""Every model of README and of the pages passes `fuzz`, but those that are shown to fail."""

import inspect
import re

import pytest
import torch

from dimtyped import DeclarationError, DimSize
from dimtyped.testing import fuzz
from tests.docs import documents

pytestmark = pytest.mark.any_engine
SIZES = (10, 4, 6, 8)
SHOWN_TO_FAIL = {"Pool": {}, "Attention": {}, "SelfAttention": {"padding": "real"}, "Scaled": {}}


def models_of(page):
    """The models that the blocks of a page make, and one of each class whose arguments are all dimensions."""
    names, found, made = {"__name__": "page"}, {}, {}
    for code, _ in documents.blocks(page.read_text(encoding="utf-8")):
        if code.startswith("$ "):  # a command
            continue
        documents.printed_by(code, names)
        found.update({id(value): value for value in names.values() if is_of(value, names)})
        classes = [value for value in names.values() if isinstance(value, type) and is_defined(value, names)]
        made.update({cls: made_of(cls) for cls in classes if cls not in made})
    kinds = {type(model) for model in found.values()}
    return [*found.values(), *(model for cls, model in made.items() if model is not None and cls not in kinds)]


def is_of(value, names):
    if not isinstance(value, torch.nn.Module) or not is_defined(type(value), names):
        return False
    return not any(parameter.is_meta for parameter in value.parameters())  # such a model has no values


def is_defined(cls, names):
    return issubclass(cls, torch.nn.Module) and names.get(cls.__name__) is cls and cls.__module__ == "page"


def made_of(cls):
    needed = [p for p in inspect.signature(cls).parameters.values() if p.default is p.empty]
    if any(parameter.annotation is not DimSize for parameter in needed) or len(needed) > len(SIZES):
        return None
    try:
        return cls(**dict(zip([parameter.name for parameter in needed], SIZES, strict=False)))
    except DeclarationError:  # the page shows that it is refused
        return None


def failure_of(model):
    """What `fuzz` says of a model; None where it passes, where nothing can be fuzzed, and where it is shown to be refused."""
    options = SHOWN_TO_FAIL.get(type(model).__name__, {})
    try:
        fuzz(model, max_examples=60 if options else 15, **options)
    except DeclarationError as error:
        return None if re.search("no parameter has a tensor annotation|has no forward", str(error)) else error
    except AssertionError as error:
        return None if isinstance(error.error, DeclarationError) else error
    return None


PAGES = [page for page in documents.PAGES if page.name != "torch_errors.md"]  # all that it shows fails


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
# torch's own, of what the pages compile, export and warn of
@pytest.mark.filterwarnings("ignore")
def test_a_model_of_the_pages_passes(page):
    models = models_of(page)
    failing = {type(model).__name__: failure_of(model) for model in models}
    shown = SHOWN_TO_FAIL.keys() & failing.keys()
    assert {name: str(error) for name, error in failing.items() if error is not None and name not in shown} == {}
    assert all(failing[name] is not None for name in shown)


def test_models_are_found_on_the_pages():
    (readme,) = [page for page in documents.PAGES if page.name == "README.md"]
    assert "Decoder" in [type(model).__name__ for model in models_of(readme)]
