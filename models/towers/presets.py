"""The presets ``tiny``, ``demo`` and ``paper``. All sizes are *inferred*, for the paper gives none."""

from __future__ import annotations

from artifacts.bundle.manifest import PictureSpec, TextSpec
from models.towers.config import Config, ConfigError, DataConfig, FusionConfig, StageConfig, dimensions
from models.towers.experts.config import ExpertsConfig
from models.towers.image_config import ImageConfig

#: What a relevance teacher changes (`mrse train --teacher`).
TEACHER: dict[str, object] = {
    "teacher.enabled": True,
    "loss.mined_filter": "teacher",
    "loss.false_negatives": "teacher",
    "loss.hard_ranks": [1, 100],
}


def preset(name: str) -> Config:
    """The configuration of a preset: ``tiny`` (seconds), ``demo`` (minutes on 2 cores), ``paper``.

    Raises:
        ConfigError: there is no such preset.
    """
    if name == "demo":
        return Config()
    if name == "tiny":
        return Config(
            preset="tiny",
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
            dimensions=dimensions(expert_dim=256, embedding_dim=128, history=50),
            text=TextSpec(max_query_tokens=32, max_item_tokens=96, ngram_buckets=500_000),
            picture=PictureSpec(side=224, feature_dim=1024),
            image=ImageConfig(width=1024, depth=24, heads=16, mlp_ratio=4.0, stem=(64, 128, 256), epochs=30),
            experts=ExpertsConfig(hidden=768, heads=12, mlp_ratio=4.0, dropout=0.1),
            fusion=FusionConfig(hidden=1024, gate_hidden=128),
            data=DataConfig(vocabulary=30_000),
            stage1=StageConfig(steps=100_000, batch=2048, rate=2e-4),
            stage2=StageConfig(steps=100_000, batch=4096, rate=5e-4),
        )
    raise ConfigError(f"unknown preset {name!r}; choose one of tiny, demo, paper")
