"""VBert, the image-text expert (paper): a visual BERT with the picture as one token ahead of the text."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.experts.config import ExpertsConfig
from models.towers.experts.expert import Expert
from models.towers.experts.layers import unit
from models.towers.experts.transformer import TextTransformer, last_norm, text_blocks, text_embedding

#: Tokens of an empty text with a pretrained BERT: [CLS] and [SEP].
_FRAME = 2


class VBert(TextTransformer):
    """``(ids int64 [B, L], picture [B, P], has_picture [B])`` -> unit ``[B, d]``; shared by both towers.

    A dense adaptor (paper) turns the frozen picture feature into a token; where there is no picture, a
    learned "no image" token takes its place. *Inferred*: the output reads the picture's state, the mean of
    the text's states, and the picture's feature itself, which starts with all the room there is: through the
    adaptor and the blocks alone, most of what an encoder sees is lost before a click asks for it.
    """

    def __init__(
        self, config: ExpertsConfig, vocabulary: int, positions: int, feature_dim: int, expert_dim: int
    ) -> None:
        super().__init__()
        width = config.hidden
        self.embed = text_embedding(config, vocabulary, positions)
        self.adaptor = nn.Sequential(
            nn.Linear(feature_dim, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.LayerNorm(width)
        )
        self.no_image = nn.Parameter(torch.zeros(width))
        self.drop = nn.Dropout(config.dropout)
        self.blocks = text_blocks(config)
        self.norm = last_norm(config)
        self.project = nn.Linear(2 * width, expert_dim)
        self.straight = nn.Linear(feature_dim, expert_dim, bias=False)
        nn.init.orthogonal_(self.straight.weight)
        #: What an aligned text tower says of a text, by the state of its first token.
        self.told = nn.Linear(width, expert_dim, bias=False) if config.aligned else None

    def forward(self, input_ids: Tensor, picture: Tensor, has_picture: Tensor) -> Tensor:
        has = has_picture[:, None]
        *states, first = self.with_picture(
            input_ids, picture, has, self.adaptor, self.no_image, apart=self.told is not None
        )
        said = self.project(torch.cat(states, dim=-1)) + has * self.straight(picture)
        if self.told is not None:
            says = ((input_ids > 0).sum(dim=1, keepdim=True) > _FRAME).to(said.dtype)
            said = said + says * self.told(first)
        return unit(said)

    def align(self, told: Tensor) -> None:
        """Start as a CLIP: texts by ``told`` ``[p, w]``, pictures by their features ``[p]``, in one space.

        Both go through one projection that keeps angles as far as the width allows; nothing else speaks.
        """
        assert self.told is not None
        width = self.straight.weight.shape[1]
        with torch.no_grad():
            # Features are of length sqrt(p), as texts are then about.
            even = told * (width**0.5 / told.norm().clamp(min=1e-6))
            self.told.weight.copy_(self.straight.weight @ even)
            self.project.weight.zero_()
            self.project.bias.zero_()


VBERT = Expert(
    name="vbert",
    title="VBert",
    build=lambda sizes: VBert(
        sizes.config, sizes.vocabulary, sizes.positions, sizes.feature_dim, sizes.expert_dim
    ),
    inputs=("input_ids", "picture", "has_picture"),
    shared=True,
    start="bert",
)
