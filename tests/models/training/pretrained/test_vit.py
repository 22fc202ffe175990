"""A pretrained ViT computes what torch's own layers do, runs once for each picture and is served as it is."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artifacts.bundle import Bundle, open_graph
from artifacts.shop.errors import DataError
from artifacts.shop.shop import Shop
from models.export.bundle import export
from models.towers import preset
from models.towers.pretrained_vit import PretrainedVit
from models.training import train
from models.training.pretrained import PretrainedError, resolve
from models.training.pretrained.cache import FeatureCache, raw_features
from models.training.pretrained.vit import load_vit, vit_sizes
from tests.support.pretrained import SIDE, WIDTH, vit_states, write_bert, write_vit


def pixels(rows: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (rows, SIDE, SIDE, 3), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )


@pytest.mark.parametrize("family", ["vit", "clip"])
def test_the_vit_computes_what_the_folder_does(tmp_path: Path, family: str) -> None:
    made = write_vit(tmp_path, family)
    shape, picture = vit_sizes(tmp_path)
    assert (picture.side, picture.feature_dim) == (SIDE, WIDTH)
    vit = load_vit(tmp_path, shape, picture)
    expected = vit_states(made, family, pixels())
    torch.testing.assert_close(vit.states(pixels()), expected, atol=1e-4, rtol=1e-4)
    feature = vit(pixels())
    torch.testing.assert_close(feature.mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)
    assert not any(p.requires_grad for p in vit.parameters())


def test_a_whole_clip_is_read_for_its_vision_half(tmp_path: Path) -> None:
    made = write_vit(tmp_path, "clip")
    vision = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": vision}))
    torch.save({**made, "text_model.final.weight": torch.zeros(2)}, tmp_path / "pytorch_model.bin")
    vit = load_vit(tmp_path, *vit_sizes(tmp_path))
    expected = vit_states(made, "clip", pixels())
    torch.testing.assert_close(vit.states(pixels()), expected, atol=1e-4, rtol=1e-4)


def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_vit(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    for change, message in (({"model_type": "swin"}, "is a swin"), ({"patch_size": 7}, "patches of 7")):
        (tmp_path / "config.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(PretrainedError, match=message):
            vit_sizes(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(PretrainedError, match="preprocessor_config"):
        resolve(preset("tiny").with_overrides({"image.vit": str(tmp_path)}))


def picture_shop(path: Path, colours: list[int]) -> Shop:
    (path / "pictures").mkdir(parents=True)
    for place, colour in enumerate(colours):
        data = io.BytesIO()
        Image.new("RGB", (40, 20), (colour, 30, 60)).save(data, "PNG")
        (path / "pictures" / f"{place}.png").write_bytes(data.getvalue())
    (path / "shop.toml").write_text('name = "pictures"\n')
    rows = "".join(f"i{place},thing,{place}.png\n" for place in range(len(colours)))
    (path / "items.csv").write_text("id,title,picture\n" + rows)
    return Shop.open(path)


class CountingVit(PretrainedVit):
    seen = 0

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen += len(pixels)
        return super().forward(pixels)


def test_each_picture_runs_once_and_stays_on_disk_through_a_kill(tmp_path: Path) -> None:
    write_vit(tmp_path / "vit")
    shape, picture = vit_sizes(tmp_path / "vit")
    vit = CountingVit(shape, picture)
    vit.load_state_dict(load_vit(tmp_path / "vit", shape, picture).state_dict())
    # Two of the four are the same picture.
    shop = picture_shop(tmp_path / "shop", [10, 20, 10, 30])
    files = [f"{place}.png" for place in range(4)]
    cache = tmp_path / "cache" / "features.bin"

    def run() -> np.ndarray:
        return raw_features(
            vit.eval(), shop, files, SIDE, FeatureCache(cache, WIDTH), lambda stage, done, total: None
        )

    first = run()
    assert vit.seen == 3
    np.testing.assert_array_equal(first[0], first[2])
    assert np.abs(first[0] - first[1]).max() > 1e-3
    np.testing.assert_array_equal(run(), first)
    assert vit.seen == 3
    # A kill in the middle of a record costs that record alone.
    with cache.open("r+b") as file:
        file.truncate(cache.stat().st_size - 5)
    np.testing.assert_allclose(run(), first, atol=1e-5)
    assert vit.seen == 4
    key = hashlib.sha256((tmp_path / "shop" / "pictures" / "0.png").read_bytes()).hexdigest()
    assert key in FeatureCache(cache, WIDTH)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    write_vit(tmp_path / "vit")
    shop = picture_shop(tmp_path / "shop", [10])
    (tmp_path / "shop" / "pictures" / "0.png").write_bytes(b"no picture")
    vit = load_vit(tmp_path / "vit", *vit_sizes(tmp_path / "vit"))
    cache = FeatureCache(tmp_path / "features.bin", WIDTH)
    with pytest.raises(DataError, match=r"0\.png"):
        raw_features(vit, shop, ["0.png"], SIDE, cache, lambda stage, done, total: None)


def test_a_run_from_pretrained_weights_ends_in_a_bundle_that_needs_no_folder(
    shop_path: Path, tmp_path: Path
) -> None:
    """BERT, fastText and ViT together; a run that is begun again goes on, and the bundle names no path."""
    for name, write in (("bert", write_bert), ("vit", write_vit)):
        write(tmp_path / "pretrained" / name)
    vectors = "".join(f"{word} {number} 1 0.5\n" for number, word in enumerate(("red", "blue", "dress")))
    (tmp_path / "pretrained" / "words.vec").write_text("3 3\n" + vectors)
    settings = {
        "experts.bert": str(tmp_path / "pretrained" / "bert"),
        "experts.fasttext": str(tmp_path / "pretrained" / "words.vec"),
        "experts.pretrained_every": 2,
        "experts.lexical_start": True,
        "image.vit": str(tmp_path / "pretrained" / "vit"),
        "image.cache": str(tmp_path / "cache"),
        "stage1.steps": 3,
        "stage2.steps": 2,
        "stage2.expert_rate": 0.1,
    }
    config = preset("tiny").with_overrides(settings)
    stages: set[str] = set()
    run = tmp_path / "run"
    train(shop_path, run, config, lambda stage, done, total: stages.add(stage))
    assert "image" not in stages
    assert len(list((tmp_path / "cache").iterdir())) == 1
    train(shop_path, run, config)
    # From here on the folders are not needed.
    (tmp_path / "pretrained").rename(tmp_path / "gone")
    path = export(run, tmp_path / "bundles", "pretrained")
    bundle = Bundle.load(path)
    assert str(tmp_path) not in (path / "manifest.json").read_text()
    assert (bundle.manifest.picture.side, bundle.manifest.picture.feature_dim) == (SIDE, WIDTH)
    for role in ("image_encoder", "query_experts", "item_fusion"):
        bundle.check_canonical(role, open_graph(bundle.graph(role)))  # type: ignore[arg-type]
    kept = np.load(run / "picture_features.npy")
    assert kept.shape[1:] == (1, WIDTH)
    assert np.isfinite(kept).all()
