"""Training in two stages: the experts, then the fusion; ahead of both the image encoder."""

from models.training.run import Finished, TrainError, TrainSummary, load_finished, train

__all__ = ["Finished", "TrainError", "TrainSummary", "load_finished", "train"]
