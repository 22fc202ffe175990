"""bfloat16 inside the towers, float32 for cosines."""

import pytest
import torch

from models.training.precision import cosines, full, mixed


def test_bfloat16_is_for_gpus_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, torch.dtype]] = []
    # torch warns where it is asked for autocast on a GPU that is not there.
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype: asked.append((kind, dtype)))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    mixed("cpu", bf16=True)
    mixed("cuda:0", bf16=False)
    assert asked == []
    mixed("cuda:0", bf16=True)
    assert asked == [("cuda", torch.bfloat16)]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    mixed("cuda:0", bf16=True)
    assert len(asked) == 1


def test_cosines_stay_float32_inside_of_autocast() -> None:
    left, right = torch.randn(4, 8), torch.randn(5, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (left @ right.T).dtype == torch.bfloat16
        inside = cosines(left, right)
        assert cosines(left.bfloat16(), right).dtype == torch.float32
        with full("cpu"):
            assert (left @ right.T).dtype == torch.float32
    assert torch.equal(inside, left @ right.T)
