"""The failure signatures that the paper names, looked for in a bundle: each with a verdict and what to try.

Poor recall: expert weights, sparse history. Slow convergence: beta over alpha. Modality collapse:
activations of the fusion. Beside them two of our own: false hard negatives, and train/serve parity. Every
bound of a verdict is *inferred*.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from artifacts.bundle import Bundle
from artifacts.shop.shop import Shop
from models.dataset.coclick import coclick_options, coclicked
from models.embed import embed_shop
from models.evaluation.finding import Finding
from models.evaluation.grades import open_grades
from models.evaluation.heldout import nothing_held_out, read_requests
from models.evaluation.measure import Asked
from models.evaluation.probes import Patient, collapse, contributions, history
from models.evaluation.probes_negatives import false_negatives, hardness
from models.evaluation.probes_serving import convergence, parity
from models.evaluation.searcher import Searcher

Progress = Callable[[str, int, int | None], None]


def diagnose(
    bundle_path: Path,
    shop_path: Path,
    *,
    split: str = "val",
    sample: int = 2000,
    embeddings: Path | None = None,
    run: Path | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> list[Finding]:
    """Look for every signature.

    Args:
        bundle_path: the bundle.
        shop_path: the shop.
        split: which held-out requests are looked at.
        sample: at most so many of them, drawn evenly.
        embeddings: the shop's embeddings folder of this bundle; made for the occasion when not given.
        run: the training run, for its loss curves.
        progress: called with the stage, done and total.

    Raises:
        BundleError, DataError: bundle or shop cannot be read.
        NothingHeldOut: there is no held-out request to look at.
    """
    bundle, shop = Bundle.load(bundle_path), Shop.open(shop_path)
    training = bundle.manifest.training
    held_out = float(training["held_out"])
    requests = read_requests(
        shop,
        split,
        depth=bundle.manifest.dimensions.history,
        held_out=held_out,
        same_item_days=float(training["data"]["same_item_days"]),
    )
    places = np.unique(np.linspace(0, len(requests) - 1, min(sample, len(requests))).astype(np.int64))
    with tempfile.TemporaryDirectory() as temporary:
        folder = embeddings or Path(temporary) / "embeddings"
        if embeddings is None:
            embed_shop(shop, bundle, folder, progress=progress)
        searcher = Searcher(bundle, shop, folder)
        grades = open_grades(shop, shop_path, searcher.rows)
        asked = Asked.of([requests[p] for p in places.tolist()], searcher.rows, grades)
        if not asked.requests:
            raise nothing_held_out(shop, split)
        features = np.load(folder / "features.npy", mmap_mode="r")
        coclicks = coclicked(shop, held_out=held_out, **coclick_options(training))
        patient = Patient(
            bundle,
            shop,
            searcher,
            asked,
            grades,
            features,
            coclicks.mean_features(features, 0, len(features)),
        )
        findings: list[Finding] = []
        probes: list[Callable[[], list[Finding]]] = [
            lambda: contributions(patient),
            lambda: history(patient),
            lambda: collapse(patient),
            lambda: false_negatives(patient),
            lambda: hardness(patient),
            lambda: parity(patient),
            lambda: convergence(run, bundle),
        ]
        for done, probe in enumerate(probes):
            progress("diagnose", done, len(probes))
            findings += probe()
        progress("diagnose", len(probes), len(probes))
    return findings
