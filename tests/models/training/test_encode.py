"""Encoding in parts whose activations are made again for the gradient."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.dataset.training_data import TrainingData
from models.towers import Config, Towers
from models.training.encode import in_parts, run_experts


def _module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 64), nn.GELU(), nn.Dropout(0.5), nn.Linear(64, 3))


def _gradients(module: nn.Module, encode: Callable[[], Tensor]) -> list[Tensor]:
    module.zero_grad()
    torch.manual_seed(1)
    # Every row counts in every other's loss, as in a softmax over the batch.
    outputs = encode()
    (outputs @ outputs.T).logsumexp(dim=1).sum().backward()  # type: ignore[no-untyped-call]
    return [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]


def _kept_bytes(encode: Callable[[], Tensor]) -> int:
    kept = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        encode()
    return kept


def test_parts_have_the_gradient_of_the_whole_with_the_same_dropout() -> None:
    module, rows = _module(), torch.randn(100, 4)

    def parts(rows_of_a_part: int) -> Callable[[], Tensor]:
        return lambda: in_parts(module, [rows], rows_of_a_part)

    def by_hand() -> Tensor:
        return torch.cat([module(part) for part in rows.split(16)])

    for one, other in zip(_gradients(module, parts(16)), _gradients(module, by_hand), strict=True):
        torch.testing.assert_close(one, other)
    module.eval()
    for one, other in zip(_gradients(module, parts(16)), _gradients(module, parts(0)), strict=True):
        torch.testing.assert_close(one, other)


def test_of_a_part_no_activation_is_kept() -> None:
    module, rows = _module(), torch.randn(100, 4)
    whole = _kept_bytes(lambda: in_parts(module, [rows], 0))
    assert whole > 100 * 64 * 4
    assert _kept_bytes(lambda: in_parts(module, [rows], 10)) < whole / 4
    with torch.no_grad():
        torch.testing.assert_close(in_parts(module.eval(), [rows], 10), module(rows))


@pytest.mark.parametrize("cached_rows", [0, 7])
def test_experts_run_in_parts(run: Path, config: Config, cached_rows: int) -> None:
    data = TrainingData(run / "data", config)
    towers = Towers(config, data.vocabulary).eval()
    text = data.text.queries(data.queries[:40])
    width = config.picture.feature_dim
    arrays = (text, torch.rand(40, width).numpy(), (torch.arange(40) % 2).float().numpy(), "cpu")
    expected = run_experts(towers.query_experts, *arrays)
    found = run_experts(towers.query_experts, *arrays, cached_rows)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()  # type: ignore[no-untyped-call]
    assert any(parameter.grad is not None for parameter in towers.query_experts.parameters())
