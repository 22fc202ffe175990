"""Our systems on ESCI: what each is configured as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.towers import Config, preset

#: What all of ours share. There are no pictures, users or co-clicks, so VBert and the portrait are silent.
COMMON: Mapping[str, Any] = {
    "switches.vbert": False,
    "switches.history": False,
    "switches.coclick": False,
    "dimensions.history": 2,
    "dimensions.expert_dim": 384,
    "dimensions.embedding_dim": 768,
    "text.ngram_buckets": 50_000,
    "experts.lexical_start": True,
    "experts.dropout": 0.1,
    "loss.beta": 0.2,
    "loss.mined_share": 0,
    "data.title_share": 0.8,
    "stage2.steps": 60,
    "stage2.batch": 64,
    "stage2.rate": 5e-4,
}


@dataclass(frozen=True)
class System:
    """One of ours: its name in the table, and what differs from `COMMON`."""

    key: str
    name: str
    settings: Mapping[str, Any]

    @property
    def learns(self) -> bool:
        """Whether it trains on clicks; one that does not knows titles and given weights alone."""
        return self.settings.get("stage1.steps") != 0


#: MiniLM and n-grams with their idf, as they are given; no step is taken.
_GIVEN: Mapping[str, Any] = {
    "experts.layers": 6,
    "experts.pretrained_every": 0,
    "stage1.steps": 0,
    "stage2.steps": 0,
    "fusion.gate_start": [0.2, 0.7, 0.1],
    "fusion.start": "components",
}
#: With some 480 clicks to learn from, MiniLM itself stays as it is given.
_SIX: Mapping[str, Any] = {
    "experts.layers": 6,
    "experts.pretrained_every": 0,
    "stage1.steps": 20,
    "stage1.batch": 128,
    "stage1.rate": 2e-4,
}
GIVEN, NARROW, SCRATCH = "ours, nothing trained", "ours, nothing trained, 128-d", "ours, from scratch"
NGRAMS = "ours, n-grams alone, nothing trained"
NARROW_TRAINED = "ours, from all 6 layers, 128-d"
#: Names by seed: which queries are made of titles, and how n-grams begin, is drawn.
DISTILLED: Mapping[int, str] = {
    seed: f"ours, distilled from titles, 128-d, seed {seed}" for seed in (7, 8, 9)
}
#: It sees no query at all, so that it may answer those of every fold.
_DISTILLED: Mapping[str, Any] = {
    **_GIVEN,
    "dimensions.embedding_dim": 128,
    "fusion.start": "distilled",
    "distil.log_queries": 0,
}

SYSTEMS = (
    System("given", GIVEN, _GIVEN),
    System("narrow", NARROW, {**_GIVEN, "dimensions.embedding_dim": 128}),
    *(System(f"distilled-{seed}", name, {**_DISTILLED, "seed": seed}) for seed, name in DISTILLED.items()),
    System(
        "ngrams",
        NGRAMS,
        # Nothing is given and nothing learnt: titles alone say how long an n-gram is, and what to whiten.
        {
            "switches.light_bert": False,
            "dimensions.expert_dim": 768,
            "stage1.steps": 0,
            "stage2.steps": 0,
            "fusion.gate_start": [0.2, 0.2, 0.6],
            "fusion.start": "components",
            "fusion.whiten": 0.7,
        },
    ),
    System(
        "scratch",
        SCRATCH,
        {
            "stage1.steps": 80,
            "stage1.batch": 128,
            "stage1.rate": 5e-4,
            "fusion.gate_start": [0.2, 0.2, 0.6],
        },
    ),
    System("six", "ours, from all 6 layers", {**_SIX, "fusion.gate_start": [0.2, 0.53, 0.27]}),
    System(
        "narrow-six",
        NARROW_TRAINED,
        {
            **_SIX,
            "dimensions.embedding_dim": 128,
            "fusion.gate_start": _GIVEN["fusion.gate_start"],
            "fusion.start": "components",
        },
    ),
    System(
        "two",
        "ours, from 2 layers of MiniLM",
        # Cut off after two layers it has to learn again what the other four did: at 5e-5.
        {
            "experts.layers": 2,
            "experts.pretrained_every": 2,
            "experts.pretrained_rate": 0.1,
            "stage1.steps": 60,
            "stage1.batch": 64,
            "stage1.rate": 5e-4,
        },
    ),
)
_QUICK = {"distil.made_queries": 200, "distil.steps": 2}
_QUICK_LEARNS = {"stage1.steps": 2, "stage2.steps": 2, "stage1.batch": 16, "stage2.batch": 16}


def configure(system: System, minilm: Path, *, quick: bool) -> Config:
    """The whole configuration of one of ours."""
    given = {} if system.key.partition("-")[0] in ("ngrams", "scratch") else {"experts.bert": str(minilm)}
    quicker = {**_QUICK, **(_QUICK_LEARNS if system.learns else {})} if quick else {}
    return preset("demo").with_overrides({**COMMON, **given, **system.settings, **quicker})
