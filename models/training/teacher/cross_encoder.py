"""The teacher's module: a transformer over the words of query and item and the item's picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.training_config import TeacherConfig

#: Longest sequence: a token for the grade, one for the picture, then query and item.
_LONGEST = 256


class CrossEncoder(nn.Module):
    """Grade of pairs as a logit ``[n]``.

    Each token knows its side, and whether the other side has it too: from a few thousand labels a transformer
    would not learn by itself to compare words.

    Args:
        vocabulary: tokens, 0 = padding.
        picture: width P of picture features.
        config: sizes.
    """

    def __init__(self, vocabulary: int, picture: int, config: TeacherConfig) -> None:
        super().__init__()
        width = config.hidden
        self.words = nn.Embedding(vocabulary, width, padding_idx=0)
        self.sides = nn.Embedding(2, width)
        self.shared = nn.Embedding(2, width)
        self.places = nn.Embedding(_LONGEST, width)
        self.picture = nn.Linear(picture, width)
        self.grade = nn.Parameter(torch.zeros(width))
        layer = nn.TransformerEncoderLayer(
            width, config.heads, 4 * width, config.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1)
        for table in (self.words, self.sides, self.shared, self.places):
            nn.init.normal_(table.weight, std=0.05)

    def forward(self, query: Tensor, item: Tensor, picture: Tensor, has_picture: Tensor) -> Tensor:
        """Ids int64 ``[n, Q]`` and ``[n, I]``, 0 = padding; pictures ``[n, P]``, there where 1 ``[n]``."""
        same = (query[:, :, None] == item[:, None, :]) & (query > 0)[:, :, None]
        sides = [self._side(query, same.any(dim=2), 0), self._side(item, same.any(dim=1), 1)]
        heads = [self.grade.expand(len(query), 1, -1), self.picture(picture)[:, None]]
        whole = torch.ones(len(query), 1, dtype=torch.bool, device=query.device)
        known = torch.cat([whole, (has_picture > 0)[:, None], query > 0, item > 0], dim=1)
        read = self.layers(torch.cat([*heads, *sides], dim=1), src_key_padding_mask=~known)
        logits: Tensor = self.head(self.norm(read[:, 0]))[:, 0]
        return logits

    def _side(self, ids: Tensor, shared: Tensor, side: int) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device).clamp(max=_LONGEST - 1)
        found: Tensor = self.words(ids) + self.shared(shared.long()) + self.places(places)[None]
        return found + self.sides.weight[side]
