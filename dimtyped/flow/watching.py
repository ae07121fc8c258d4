"""`watch` follows everything that runs inside its block, on the user's own tensors."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch

from dimtyped.flow.report import Report, notes_on_mode
from dimtyped.flow.tracer import TracedFlow
from dimtyped.runtime import strip_internal_frames


@contextmanager
def watch(*, independent: Sequence[str] = ("batch",), skip: Sequence[str] = ()) -> Generator[Report]:
    """Follows the names of axes through everything that runs inside the block: a loss, a whole training step.

    Names come from the annotated functions, methods and modules that are called in it. Results do not change;
    compiled functions run eagerly meanwhile, so that their operators are seen. An exception leaves the block unchanged, and
    the report holds the finding that explains it. It follows the thread that enters it; of nested blocks the innermost one
    takes the names. A profiler that begins inside takes them too, and the report has a note.

    Args:
        independent: Names along which nothing may carry values. Default: `batch`.
        skip: Packages that are skipped in the search for a finding's place in the user's code. Default: torch, einops and the
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
    report = Report("watch", notes=notes_on_mode())
    try:
        with torch.compiler.set_stance("force_eager"), flow:
            yield report
    except Exception as error:
        explained = flow.finding_of(error)
        if explained is not None:
            report.findings.append(explained)
        strip_internal_frames(error)
        raise
    finally:
        report.findings[:0] = flow.findings
        report.notes += dict.fromkeys(flow.troubles)
        report.followed.update(flow.followed)
        report.unfollowed.update(flow.unfollowed)
