"""A bag of tokens: the mean of a text's token vectors."""

from torch import Tensor, nn

from models.towers.experts import Expert, register
from models.towers.experts.layers import masked_mean, unit


class Bag(nn.Module):
    """``ids int64 [B, L]`` (0 = padding) -> unit ``[B, d]``."""

    def __init__(self, vocabulary: int, expert_dim: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, expert_dim)

    def forward(self, input_ids: Tensor) -> Tensor:
        return unit(masked_mean(self.tokens(input_ids), input_ids > 0))


register(
    Expert(
        name="bag",
        title="Bag",
        build=lambda sizes: Bag(sizes.vocabulary, sizes.expert_dim),
        inputs=("input_ids",),
    )
)
