"""The towers in torch: one small module for each part, with the shapes in its docstring.

::

    config, presets    every knob of model and training; image_config, training_config: those of
                       the image encoder, and of losses, examples and stages
    experts/           the experts and their registry
    lmoe, single       the experts side by side; one transformer in their place
    portrait_attention, gate, fusion    experts and history to embeddings
    user_encoder       the last behaviours in their order: taste, interests
    towers             query tower and item tower
    image_encoder             pictures to features
    given_encoder, pretrained_vit, pretrained_cnn    or by an encoder that a team brings
"""

from models.towers.config import Config
from models.towers.image_encoder import ImageEncoder
from models.towers.lmoe import Experts
from models.towers.presets import preset
from models.towers.towers import Towers

__all__ = ["Config", "Experts", "ImageEncoder", "Towers", "preset"]
