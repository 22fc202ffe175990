"""The files of an embeddings folder: their names, and what the two JSON files say."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from artifacts.attributes import CATEGORY, AttributeKind
from common.errors import MrseError

META_NAME = "meta.json"
SCHEMA_NAME = "schema.json"
ITEMS_NAME = "items.parquet"
VECTORS_NAME = "embeddings.npy"
FEATURES_NAME = "features.npy"

M = TypeVar("M", bound=BaseModel)


class EmbeddingsError(MrseError, ValueError):
    """An embeddings folder that cannot be used; ``file`` says which file is wrong."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file


class EmbeddingsMeta(BaseModel):
    """``meta.json``."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    #: Version of the bundle whose item tower made the embeddings.
    bundle_version: str
    rows: int = Field(ge=1)
    #: Width of an embedding.
    dim: int = Field(ge=1)
    #: Experts of an item's features, and the width of each.
    experts: int = Field(ge=1)
    expert_dim: int = Field(ge=1)
    #: Fingerprint of the shop.
    data: str = ""


class Schema(BaseModel):
    """``schema.json``."""

    model_config = ConfigDict(frozen=True)

    #: Types of the attributes; ``category`` is a column of every folder and none of them.
    attributes: dict[str, AttributeKind]

    @field_validator("attributes")
    @classmethod
    def _no_reserved_names(cls, attributes: dict[str, AttributeKind]) -> dict[str, AttributeKind]:
        if reserved := {"id", CATEGORY} & attributes.keys():
            raise ValueError(f"{reserved} cannot be attributes")
        return attributes


def read_json(path: Path, model: type[M]) -> M:
    """Read and check a JSON file.

    Raises:
        EmbeddingsError: the file is missing or not as the model says.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise EmbeddingsError(path, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise EmbeddingsError(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
