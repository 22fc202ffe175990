"""An expert from outside is built, or switched off; `tests/extension` trains, exports and serves one."""

import pytest
import torch
from torch import Tensor, nn

from models.towers import Towers, preset
from models.towers.experts import EXPERTS, Expert, Sizes
from models.towers.experts.layers import unit


class Colours(nn.Module):
    """``(picture [B, P], has_picture [B])`` -> unit ``[B, d]``; zeros where there is no picture."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.project = nn.Linear(sizes.feature_dim, sizes.expert_dim)

    def forward(self, picture: Tensor, has_picture: Tensor) -> Tensor:
        return unit(self.project(picture)) * has_picture[:, None]


COLOURS = Expert("colours", "Colours", build=Colours, inputs=("picture", "has_picture"))


def test_an_expert_says_what_it_speaks_for() -> None:
    assert {name: (e.reads_text, e.reads_picture) for name, e in EXPERTS.items()} == {
        "vbert": (True, True),
        "light_bert": (True, False),
        "ftatt": (True, False),
    }
    assert (COLOURS.reads_text, COLOURS.reads_picture) == (False, True)


def test_a_dear_expert_that_is_switched_off_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPERTS, "colours", COLOURS)
    towers = Towers(preset("tiny").with_overrides({"switches.colours": False}), 50)
    assert list(towers.query_experts.members()) == ["vbert", "light_bert", "ftatt"]
    ids = torch.ones(2, 3, dtype=torch.int64)
    out = towers.query_experts(ids, ids[:, :, None], torch.ones(2, 24), torch.ones(2))
    assert out.shape[1] == 4
    whole = Towers(preset("tiny"), 50)
    assert list(whole.query_experts.members()) == [*list(EXPERTS)[:-1], "colours"]
    # It reads pictures alone: zeros where there is none.
    some = whole.query_experts(ids, ids[:, :, None], torch.ones(2, 24), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(some[:, 3].norm(dim=1), torch.tensor([1.0, 0.0]))
    assert out[:, 3].abs().max() == 0
