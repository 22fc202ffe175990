"""A model folder in Hugging Face layout: its ``config.json`` and its weights by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.towers.config import ConfigError

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
}


class PretrainedError(ConfigError):
    """Pretrained weights cannot be used; the message names the file and what is wrong with it."""


def read_json(path: Path) -> dict[str, Any]:
    """An object of a JSON file; a `PretrainedError` where it is not there or no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PretrainedError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise PretrainedError(f"{path}: is no JSON object")
    return content


def number(content: dict[str, Any], key: str, path: Path) -> int:
    """A positive whole number in a configuration; a `PretrainedError` where it is none or missing."""
    value = content.get(key)
    if not isinstance(value, int) or value < 1:
        raise PretrainedError(f"{path}: {key} is {value!r}, expected a positive whole number")
    return value


def activation(content: dict[str, Any], path: Path, default: str = "gelu") -> str:
    """Our name for ``hidden_act``; a `PretrainedError` where there is no such activation here."""
    name = str(content.get("hidden_act", default))
    if name not in _ACTIVATIONS:
        raise PretrainedError(f"{path}: hidden_act is {name!r}; known are {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def weights_file(folder: Path) -> Path:
    """The file of weights: safetensors where there is one, else torch's.

    Raises:
        PretrainedError: there is neither (weights in several shards are not read).
    """
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise PretrainedError(f"{folder}: has no {' and no '.join(_WEIGHTS)}")


class Weights:
    """F32 weights by name, without the prefix that a head's model puts before the encoder's names."""

    def __init__(self, folder: Path, prefixes: tuple[str, ...]) -> None:
        self.file = weights_file(folder)
        self.tensors: dict[str, Tensor] = {}
        for name, tensor in read_tensors(self.file).items():
            for prefix in prefixes:
                name = name.removeprefix(prefix)
            # Names of checkpoints from before 2019.
            name = name.replace("Norm.gamma", "Norm.weight").replace("Norm.beta", "Norm.bias")
            self.tensors[name] = tensor

    def take(self, name: str) -> Tensor:
        """A weight; a `PretrainedError` where the file has none of this name."""
        if name not in self.tensors:
            raise PretrainedError(f"{self.file}: has no weight {name!r}")
        return self.tensors[name].detach().to(torch.float32)

    def fill(self, target: Tensor, *names: str) -> None:
        """Copy weights, one after the other along the first axis, into a weight of ours.

        Axes of length 1 that a weight has ahead of ours are left out.

        Raises:
            PretrainedError: one is not there, or the shapes differ.
        """
        value = torch.cat([self.take(name) for name in names])
        shape = tuple(value.shape)
        while value.dim() > target.dim() and len(value) == 1:
            value = value[0]
        if value.shape != target.shape:
            raise PretrainedError(
                f"{self.file}: {names[0]!r} has shape {shape}, expected {tuple(target.shape)}"
            )
        with torch.no_grad():
            target.copy_(value)

    def fill_layers(
        self,
        module: nn.Module,
        table: Mapping[str, tuple[str, ...]],
        prefix: str = "",
        unbiased: str | None = None,
    ) -> None:
        """Copy weights and biases into layers of a module.

        Args:
            module: ours.
            table: for each layer's path in it the file's layers, which come one after the other.
            prefix: ahead of the file's names.
            unbiased: path of a layer that the file may have without biases.
        """
        for path, names in table.items():
            layer = module.get_submodule(path)
            for part in ("weight", "bias"):
                own, theirs = getattr(layer, part), [f"{prefix}{name}.{part}" for name in names]
                if path == unbiased and part == "bias" and theirs[0] not in self.tensors:
                    nn.init.zeros_(own)
                elif own is not None:
                    self.fill(own, *theirs)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; code that a pickle holds does not run.

    Raises:
        PretrainedError: the file cannot be read.
    """
    loaded: dict[str, Tensor]
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise PretrainedError(f"{path}: reading it needs safetensors: install the train extra") from error
    except Exception as error:  # each library raises its own
        raise PretrainedError(f"{path}: cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise PretrainedError(f"{path}: holds a {type(loaded).__name__}, expected weights by name")
    return loaded
