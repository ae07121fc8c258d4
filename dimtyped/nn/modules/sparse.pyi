from dimtyped.nn.layers.embedding import (
    Embedding as Embedding,
)
from dimtyped.nn.layers.embedding_bag import (
    EmbeddingBag as EmbeddingBag,
)
