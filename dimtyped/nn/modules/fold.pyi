from torch.nn.modules.fold import (
    Fold as Fold,
    Unfold as Unfold,
)
