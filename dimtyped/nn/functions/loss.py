"""The losses, with the forms of the layers: tensors of one shape do not broadcast, and the axis of classes is named."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch.nn.functional as torch_functional

from dimtyped.engine import Form, of_call
from dimtyped.errors import DimensionValueError
from dimtyped.nn.contract import UNCHECKED, SizeViolation
from dimtyped.nn.functions.function import Function, of_layer
from dimtyped.nn.layers import loss


def _of_loss(layer: Any, function: Any, **options: Any) -> tuple[Function, ...]:
    return of_layer(layer, function, checks_first=True, **options)


def _classes(*, input: Any, target: Any, weight: Any, **others: Any) -> Iterator[SizeViolation]:
    kept = {"ignore_index": others["ignore_index"]} if "ignore_index" in others else {}
    yield from loss.other_classes(SimpleNamespace(weight=weight, **kept), input, target)


def _variances(*, input: Any, target: Any, var: Any, **_: Any) -> Iterator[SizeViolation]:
    yield from loss.other_variances(None, input, target, var)


def _lengths(
    *, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int, **_: Any
) -> Iterator[SizeViolation]:
    layer = SimpleNamespace(blank=blank)
    yield from loss.other_lengths(layer, log_probs, targets, input_lengths, target_lengths)


_HAS_DISTANCE = of_call("distance_function is not None") & of_call("anchor.dim() == positive.dim() == negative.dim()")
FUNCTIONS = (
    *_of_loss(loss.MSELoss, torch_functional.mse_loss),
    *_of_loss(loss.L1Loss, torch_functional.l1_loss),
    *_of_loss(loss.SmoothL1Loss, torch_functional.smooth_l1_loss),
    *_of_loss(loss.HuberLoss, torch_functional.huber_loss),
    *_of_loss(loss.BCELoss, torch_functional.binary_cross_entropy),
    *_of_loss(loss.BCEWithLogitsLoss, torch_functional.binary_cross_entropy_with_logits),
    *_of_loss(loss.KLDivLoss, torch_functional.kl_div),
    Function(torch_functional.poisson_nll_loss, loss.one_broadcasts(), checks_first=True),
    *_of_loss(loss.GaussianNLLLoss, torch_functional.gaussian_nll_loss, violations=_variances),
    *_of_loss(loss.SoftMarginLoss, torch_functional.soft_margin_loss),
    *_of_loss(loss.HingeEmbeddingLoss, torch_functional.hinge_embedding_loss),
    *_of_loss(loss.MultiLabelSoftMarginLoss, torch_functional.multilabel_soft_margin_loss),
    *_of_loss(loss.MultiLabelMarginLoss, torch_functional.multilabel_margin_loss, error=DimensionValueError),
    *_of_loss(loss.CrossEntropyLoss, torch_functional.cross_entropy, violations=_classes),
    *_of_loss(loss.NLLLoss, torch_functional.nll_loss, violations=_classes),
    *_of_loss(loss.MultiMarginLoss, torch_functional.multi_margin_loss, error=DimensionValueError, violations=_classes),
    *_of_loss(loss.CosineEmbeddingLoss, torch_functional.cosine_embedding_loss),
    *_of_loss(loss.MarginRankingLoss, torch_functional.margin_ranking_loss),
    *_of_loss(loss.TripletMarginLoss, torch_functional.triplet_margin_loss),
    Function(
        torch_functional.triplet_margin_with_distance_loss,
        (
            *loss.TripletMarginLoss.contract.calls[:1],
            Form(UNCHECKED, when=_HAS_DISTANCE, rare=True),
            *loss.TripletMarginLoss.contract.calls[1:],
        ),
        checks_first=True,
    ),
    *_of_loss(loss.CTCLoss, torch_functional.ctc_loss, violations=_lengths),
)
