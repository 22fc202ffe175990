"""The MRSE towers in torch: one small module for each part, shapes in its docstring."""

from models.towers.config import Config
from models.towers.experts.lmoe import Experts
from models.towers.image_encoder import ImageEncoder
from models.towers.presets import preset
from models.towers.towers import Towers

__all__ = ["Config", "Experts", "ImageEncoder", "Towers", "preset"]
