"""The failure signatures that the paper names, looked for in a bundle: each with a verdict and what to try.

Poor recall: expert weights, sparse history. Slow convergence: beta over alpha. Modality collapse:
activations of the fusion. Beside them two of our own: false hard negatives, and train/serve parity. Every
bound of a verdict is *inferred*.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from common.progress import Progress, silent, stage_progress
from models.evaluation.finding import Finding
from models.evaluation.probes import collapse, contributions, correlation, history
from models.evaluation.probes_negatives import hard_negatives
from models.evaluation.probes_serving import convergence, parity
from models.evaluation.subject import Subject, open_subject

#: All probes in the order of the report; one may find several signatures.
PROBES: tuple[Callable[[Subject], list[Finding]], ...] = (
    contributions, history, collapse, correlation, hard_negatives, parity, convergence,
)  # fmt: skip


def diagnose(
    bundle_path: Path,
    shop_path: Path,
    *,
    split: str = "val",
    sample: int = 2000,
    run: Path | None = None,
    progress: Progress = silent,
) -> list[Finding]:
    """Look for every signature in at most ``sample`` held-out requests, and in the loss curves of the run.

    Raises:
        BundleError, DataError: bundle or shop cannot be read.
        NothingHeldOut: there is no held-out request to look at.
    """
    findings: list[Finding] = []
    told = stage_progress(progress, "diagnose")
    with open_subject(bundle_path, shop_path, split, sample=sample, run=run, progress=progress) as subject:
        for done, probe in enumerate(PROBES):
            told(done, len(PROBES))
            findings += probe(subject)
    told(len(PROBES), len(PROBES))
    return findings
