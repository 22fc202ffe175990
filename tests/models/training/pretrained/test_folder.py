"""A model folder in Hugging Face layout."""

from pathlib import Path

import pytest
import torch

from models.training.pretrained.folder import Weights
from tests.support.pretrained import write_bert


def test_safetensors_and_torch_files_are_read_alike(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.torch")
    made = write_bert(tmp_path)
    before = {name: Weights(tmp_path, ()).take(name) for name in made}
    (tmp_path / "pytorch_model.bin").unlink()
    numpy.save_file(made, tmp_path / "model.safetensors")
    for name, tensor in before.items():
        assert torch.equal(Weights(tmp_path, ()).take(name), tensor)


def test_old_names_of_norms_are_known(tmp_path: Path) -> None:
    made = write_bert(tmp_path)
    old = {n.replace("LayerNorm.weight", "LayerNorm.gamma"): t for n, t in made.items()}
    torch.save(old, tmp_path / "pytorch_model.bin")
    name = "embeddings.LayerNorm.weight"
    assert torch.equal(Weights(tmp_path, ()).take(name), made[name])
