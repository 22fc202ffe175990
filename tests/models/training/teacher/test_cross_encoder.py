"""The teacher's module: it compares words, and padding says nothing."""

import torch
from torch.nn import functional as F

from models.towers.training_config import TeacherConfig
from models.training.teacher.cross_encoder import CrossEncoder

SMALL = TeacherConfig(hidden=16, layers=1, heads=2, dropout=0.0)


def test_padding_and_pictures_that_are_not_there_say_nothing() -> None:
    torch.manual_seed(0)
    module = CrossEncoder(50, 6, SMALL).eval()
    query, item, picture = torch.tensor([[2, 7, 9]]), torch.tensor([[2, 9, 3, 4]]), torch.rand(1, 6)
    plain = module(query, item, picture, torch.zeros(1))
    padded = module(F.pad(query, (0, 3)), F.pad(item, (0, 5)), torch.rand(1, 6), torch.zeros(1))
    torch.testing.assert_close(plain, padded)
    assert plain.shape == (1,)
    shown = module(query, item, picture, torch.ones(1))
    assert (shown - plain).abs() > 1e-4


def test_it_learns_to_compare_words_it_never_saw() -> None:
    torch.manual_seed(0)
    module = CrossEncoder(400, 6, SMALL)
    optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)

    def pairs(low: int, high: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        query, item = torch.randint(low, high, (64, 2)), torch.randint(low, high, (64, 5))
        right = torch.arange(64) % 2 == 0
        item[right, 1:3] = query[right]
        return query, item, right.float()

    none = torch.zeros(64, 6), torch.zeros(64)
    for _ in range(120):
        query, item, right = pairs(4, 200)
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(module(query, item, *none), right).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    query, item, right = pairs(200, 400)
    with torch.no_grad():
        told = module.eval()(query, item, *none)
    assert ((told > 0) == (right > 0)).float().mean() > 0.9
