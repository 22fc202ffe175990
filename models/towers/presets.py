"""The presets, and what each must be given. All sizes are *inferred*, for the paper gives none."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from artifacts.bundle.manifest import PictureSpec, TextSpec
from common.hints import meant
from models.towers.config import Config, ConfigError, FusionConfig, Switches, UserConfig, dimensions
from models.towers.experts.config import ExpertsConfig
from models.towers.image_config import ImageConfig
from models.towers.training_config import DataConfig, StageConfig

#: What a relevance teacher changes (`mrse train --teacher`).
TEACHER: dict[str, object] = {
    "teacher.enabled": True,
    "loss.mined_filter": "teacher",
    "loss.false_negatives": "teacher",
    "loss.hard_ranks": [1, 100],
}
#: For whom each preset is, in the order in which they are told.
PRESETS: Mapping[str, str] = MappingProxyType(
    {
        "tiny": "seconds, to see that everything runs",
        "demo": "from scratch, minutes on 2 cores",
        "text": "titles alone: a shop without pictures, or one whose pictures show nothing",
        "pretrained-text": "few clicks, and a BERT folder that knows the language",
        "pretrained-image": "shoppers search by photo, or by what only pictures show",
        "paper": "sizes of the paper's kind, for GPUs and millions of clicks",
    }
)
#: What a preset must be given: the configuration's key, and what it is.
NEEDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "paper": {"image.vit": "a pretrained ViT, which stays frozen (paper: a ViT-L)"},
        "pretrained-text": {"experts.bert": "a BERT folder in Hugging Face layout"},
    }
)


def preset(name: str) -> Config:
    """The configuration of a preset, one of `PRESETS`.

    Raises:
        ConfigError: there is no such preset.
    """
    if name == "demo":
        return Config()
    if name == "tiny":
        return Config(
            preset="tiny",
            user=UserConfig(kind="context"),
            dimensions=dimensions(expert_dim=16, embedding_dim=32, history=5),
            text=TextSpec(max_query_tokens=12, max_item_tokens=24, ngram_buckets=512),
            picture=PictureSpec(side=32, feature_dim=24),
            image=ImageConfig(width=32, depth=1, heads=2, stem=(16,), epochs=1, batch=32, feature_views=1),
            experts=ExpertsConfig(hidden=32, heads=2),
            fusion=FusionConfig(hidden=48, gate_hidden=8),
            data=DataConfig(vocabulary=400),
            stage1=StageConfig(steps=20, batch=32),
            stage2=StageConfig(steps=20, batch=32),
        )
    if name == "paper":
        return Config(
            preset="paper",
            user=UserConfig(kind="context"),
            dimensions=dimensions(expert_dim=256, embedding_dim=128, history=50),
            text=TextSpec(max_query_tokens=32, max_item_tokens=96, ngram_buckets=500_000),
            picture=PictureSpec(side=224, feature_dim=1024),
            experts=ExpertsConfig(hidden=768, heads=12, mlp_ratio=4.0, dropout=0.1),
            fusion=FusionConfig(hidden=1024, gate_hidden=128),
            data=DataConfig(vocabulary=30_000),
            stage1=StageConfig(steps=100_000, batch=2048, rate=2e-4),
            stage2=StageConfig(steps=100_000, batch=4096, rate=5e-4),
        )
    if name == "text":
        # *Inferred* from what helped on the ESCI queries; not measured as a preset.
        return Config(
            preset="text",
            user=UserConfig(kind="context"),
            experts=ExpertsConfig(lexical_start=True, dropout=0.1),
            data=DataConfig(title_share=0.3),
            switches=Switches.model_validate({"picture": False, "vbert": False}),
        )
    if name == "pretrained-text":
        # After benchmarks.esci: experts as wide as MiniLM, an embedding that begins with what tells titles
        # apart. Steps and batches are *inferred*, for larger shops; with some 500 clicks 0 steps are best.
        return Config(
            preset="pretrained-text",
            user=UserConfig(kind="context"),
            dimensions=dimensions(expert_dim=384, embedding_dim=256),
            experts=ExpertsConfig(layers=6, pretrained_every=0, lexical_start=True, dropout=0.1),
            fusion=FusionConfig(gate_start=(0.2, 0.7, 0.1), start="components"),
            data=DataConfig(title_share=0.8),
            stage1=StageConfig(steps=100, batch=128, rate=2e-4),
            stage2=StageConfig(steps=200, batch=128, rate=5e-4, uniform=4.0),
        )
    if name == "pretrained-image":
        return Config(
            preset="pretrained-image",
            user=UserConfig(kind="context"),
            image=ImageConfig(cnn="efficientnet-lite0", dims=256, views=4, crop=0.6, colour=0.3),
        )
    raise ConfigError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}{meant(name, PRESETS)}")
