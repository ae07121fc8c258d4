"""`watch`: whatever runs inside the block is followed, on the user's own tensors."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch

from dimtyped.flow.report import Report
from dimtyped.flow.tracer import TracedFlow


@contextmanager
def watch(*, independent: Sequence[str] = ("batch",), skip: Sequence[str] = ()) -> Generator[Report]:
    """Follows the names of axes through whatever runs inside the block: a loss, a whole training step.

    Names come from the annotated functions, methods and modules that are called in it. Results are what they are without it;
    compiled functions run eagerly meanwhile, so that their operators are seen. An exception leaves the block as it is, and
    the report holds the finding that explains it.

    Args:
        independent: Names along which nothing may carry values. Default: `batch`.
        skip: Packages whose code is passed over when the place of a finding is looked for. Default: torch, einops and the
            standard library.

    Yields:
        The report, which is complete once the block ends.

    Example:
        >>> import torch
        >>> from dimtyped import typed, watch
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> @typed
        ... def predict(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch 1"]:
        ...     return x.mean(1, keepdim=True)
        >>> x, y = torch.ones(4, 3), torch.ones(4)
        >>> with watch() as report:
        ...     prediction = predict(x)
        ...     loss = (prediction.squeeze(1) - y).square().mean()
        >>> report.ok
        True
    """
    flow = TracedFlow(independent=independent, skip=skip)
    report = Report("watch")
    try:
        with torch.compiler.set_stance("force_eager"), flow:
            yield report
    except Exception as error:
        refused = flow.refusal_of(error)
        if refused is not None:
            report.findings.append(refused)
        raise
    finally:
        report.findings[:0] = flow.findings
        report.notes += dict.fromkeys(flow.troubles)
        report.followed.update(flow.followed)
        report.unfollowed.update(flow.unfollowed)
