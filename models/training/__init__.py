"""Training: pictures, then the experts (stage 1), then the fusion (stage 2); each stage resumes after a kill.

::

    pipeline       `train`, from a shop to weights
    run, finished  what every stage works with; a finished run read back
    image_stage, given_stage  stage 0: the image encoder is trained, or a given one runs once
    stage1, stage2            what each adds to the step that both share:
    hybrid                    draw, encode, mask, MNSCE, hard negatives, HNST
    batches, companions, augment, pictures, features, coclick_features    what steps are made of
    mining, refresh, hard, dose    hard negatives: found, kept in files, drawn, and how much they weigh
    components, distilled, made_queries    how the fusion starts, before stage 2
    ahead          draws steps in threads
    losses, encode, precision, rates, averaging               what they compute with
    loop, curves, early_stop, validation, ranks               how a stage runs
    pretrained/    weights to start from
    teacher/       a relevance teacher, if the run has one
    reuse          what two runs over one shop need not make twice
"""

from models.training.finished import Finished, load_finished
from models.training.pipeline import TrainSummary, train
from models.training.run import TrainError

__all__ = ["Finished", "TrainError", "TrainSummary", "load_finished", "train"]
