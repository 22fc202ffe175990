"""A CLIP-style folder whose text tower is a BERT: both halves load, and VBert starts as that CLIP."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from models.towers import preset
from models.training import load_finished, train
from models.training.pretrained import PretrainedError, resolve
from tests.support.pretrained import EPS, HEADS, WIDTH, bert_states, vit_states, write_bert, write_vit

#: Width of the space that texts and pictures share.
SHARED = 12


def write_clip(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]:
    """The text tower, the vision tower and the text projection of a folder with both."""
    seen = write_vit(folder, "clip")
    vision = json.loads((folder / "config.json").read_text())
    told = write_bert(folder, layers=2)
    text = json.loads((folder / "config.json").read_text()) | {"model_type": "chinese_clip_text_model"}
    whole = {"model_type": "chinese_clip", "projection_dim": SHARED}
    (folder / "config.json").write_text(json.dumps({**whole, "text_config": text, "vision_config": vision}))
    torch.manual_seed(3)
    projections = {
        "text_projection.weight": torch.randn(SHARED, WIDTH),
        "visual_projection.weight": torch.randn(SHARED, WIDTH),
    }
    tensors = {**{f"text_model.{name}": w for name, w in told.items()}, **seen, **projections}
    torch.save(tensors, folder / "pytorch_model.bin")
    return told, {**seen, **projections}, projections["text_projection.weight"]


def settings(folder: Path) -> dict[str, object]:
    both = {"experts.bert": str(folder), "image.vit": str(folder), "experts.layers": 2}
    return {**both, "dimensions.expert_dim": SHARED, "stage1.steps": 1, "stage1.rate": 0.0, "stage2.steps": 1}


def test_vbert_starts_as_the_clip_of_the_folder(shop_path: Path, tmp_path: Path) -> None:
    told, seen, projection = write_clip(tmp_path / "clip")
    train(shop_path, tmp_path / "run", preset("tiny").with_overrides(settings(tmp_path / "clip")))
    finished = load_finished(tmp_path / "run")
    assert finished.config.experts.aligned == finished.config.picture.feature_dim == SHARED
    vbert = finished.towers.query_experts.eval().get_submodule("vbert")
    ids = torch.tensor([[3, 8, 9, 4, 0], [3, 12, 4, 0, 0], [3, 4, 0, 0, 0]])
    pixels = torch.randint(0, 256, (3, 32, 32, 3), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        feature = finished.image_encoder(pixels.to(torch.uint8))
        none, all_ = torch.zeros(3), torch.ones(3)
        texts = vbert(ids, torch.zeros(3, SHARED), none)
        pictures = vbert(ids[2:].expand(3, -1), feature, all_)
    # The folder's own cosines: the width of the expert is that of the space, so no angle is lost.
    states = bert_states(told, ids, layers=2, heads=HEADS, eps=EPS)[:, 0] @ projection.T
    shown = vit_states(seen, "clip", pixels)[:, 0] @ seen["visual_projection.weight"].T
    shown = F.layer_norm(shown, (SHARED,))
    expected = F.normalize(states[:2]) @ F.normalize(shown).T
    torch.testing.assert_close(texts[:2] @ pictures.T, expected, atol=1e-3, rtol=1e-3)
    assert texts[2].abs().max() == 0  # an empty text says nothing


def test_halves_alone_load_too_and_other_clips_say_what_they_are(tmp_path: Path) -> None:
    write_clip(tmp_path)
    alone, _ = resolve(preset("tiny").with_overrides({"image.vit": str(tmp_path)}))
    assert (alone.picture.feature_dim, alone.experts.aligned) == (WIDTH, 0)
    text, _ = resolve(preset("tiny").with_overrides({"experts.bert": str(tmp_path)}))
    assert (text.experts.hidden, text.experts.aligned) == (WIDTH, 0)
    cut, _ = resolve(preset("tiny").with_overrides({**settings(tmp_path), "image.dims": 8}))
    assert (cut.picture.feature_dim, cut.experts.aligned) == (8, 0)
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**content, "model_type": "clip"}))
    with pytest.raises(PretrainedError, match=r"text tower is no BERT.*image\.vit"):
        resolve(preset("tiny").with_overrides({"experts.bert": str(tmp_path)}))
