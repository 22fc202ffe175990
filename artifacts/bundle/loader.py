"""Reads a bundle folder and refuses one that is not whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from pydantic import ValidationError
from tokenizers import Tokenizer

from artifacts.actions import ACTIONS
from artifacts.bundle.graphs import Graph
from artifacts.bundle.manifest import (
    CANONICAL_NAME,
    FORMAT,
    MANIFEST_NAME,
    ROLES,
    TOKENIZER_NAME,
    Manifest,
    Precision,
    Role,
    canonical,
    content_version,
    file_entry,
)
from artifacts.bundle.onnx_file import OnnxFileError, refuse_external_weights
from artifacts.bundle.text import TextFeatures
from common.arrays import F32
from common.errors import MrseError
from common.files import read_bounded
from common.hints import absent

#: Largest absolute difference from the canonical outputs that fp32 may show on another machine.
FP32_TOLERANCE = 1e-3
#: Least cosine to the canonical (fp32) outputs that a reduced precision may show.
REDUCED_COSINE = 0.99

#: Some kB; the figures of a long training make it longer.
_MAX_MANIFEST_BYTES = 16 << 20


class BundleError(MrseError, ValueError):
    """The bundle cannot be served; the message names the bundle, the file and the reason."""


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: the checksum of each file has been compared with the manifest."""

    path: Path
    manifest: Manifest
    text: TextFeatures

    @property
    def version(self) -> str:
        """The bundle's version, also the namespace of its cache keys."""
        return self.manifest.version

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Read and verify a bundle folder.

        Raises:
            BundleError: a file is missing or differs, or the manifest is not valid.
        """
        manifest = read_manifest(path)
        trained = manifest.behaviours
        if trained != ACTIONS.behaviours[: len(trained)]:
            raise BundleError(
                f"bundle {path}: was trained with the behaviours {', '.join(trained)}, which are not the "
                f"first of this installation's: {', '.join(ACTIONS.behaviours)}"
            )
        for name, entry in manifest.files.items():
            file = path / name
            if Path(name).name != name or not file.is_file():
                raise BundleError(f"bundle {path}: {name} is named in the manifest but is not there")
            actual = file_entry(file)
            if actual != entry:
                raise BundleError(
                    f"bundle {path}: {name} is damaged: sha256 {actual.sha256[:12]}… ({actual.bytes} bytes), "
                    f"the manifest says {entry.sha256[:12]}… ({entry.bytes} bytes)"
                )
        listed = {name for files in manifest.graphs.values() for name in files.values()}
        if unlisted := (listed | {TOKENIZER_NAME, CANONICAL_NAME}) - set(manifest.files):
            raise BundleError(f"bundle {path}: no checksum for {', '.join(sorted(unlisted))}")
        if missing := [role for role in ROLES if "fp32" not in manifest.graphs.get(role, {})]:
            raise BundleError(f"bundle {path}: no fp32 graph for {', '.join(missing)}")
        for name in sorted(listed | {name for name in manifest.files if name.endswith(".onnx")}):
            try:
                refuse_external_weights(path / name)
            except OnnxFileError as error:
                raise BundleError(f"bundle {path}: {name} {error}") from None
        return cls(path, manifest, TextFeatures(_read_tokenizer(path), manifest.text))

    def graph(self, role: Role, precision: Precision = "fp32") -> Path:
        """The file of a graph.

        Raises:
            BundleError: the bundle has no such precision of it.
        """
        name = self.manifest.graphs[role].get(precision)
        if name is None:
            have = ", ".join(self.manifest.graphs[role])
            raise BundleError(f"bundle {self.version}: {role} comes as {have}, not as {precision}")
        return self.path / name

    def check_canonical(self, role: Role, graph: Graph, precision: Precision = "fp32") -> None:
        """Run the canonical inputs of a graph and compare with the outputs that training saw.

        Raises:
            BundleError: an output has another shape or is too far off; the message says how far.
        """
        inputs: dict[str, F32] = {}
        expected: dict[str, F32] = {}
        try:
            with np.load(self.path / CANONICAL_NAME, allow_pickle=False) as stored:
                for key in stored.files:
                    of_role, side, name = key.split("/")
                    if of_role == role:
                        (inputs if side == "in" else expected)[name] = stored[key]
        except (OSError, EOFError, ValueError, TypeError, AttributeError, BadZipFile) as error:
            raise BundleError(f"bundle {self.path}: {CANONICAL_NAME} cannot be read: {error}") from error
        if not expected:
            raise BundleError(f"bundle {self.version}: no canonical outputs for {role}")
        actual = graph.run(inputs)
        for name, want in expected.items():
            got = actual.get(name)
            if got is None or got.shape != want.shape:
                raise BundleError(
                    f"bundle {self.version}: {role} gives {name} as {None if got is None else got.shape}, "
                    f"expected {want.shape}"
                )
            what = f"bundle {self.version}: {role} ({precision}), output {name}"
            if precision == "fp32":
                worst = float(np.abs(got - want).max(initial=0.0))
                if not worst <= FP32_TOLERANCE:
                    raise BundleError(f"{what} is off the canonical output by {worst:.2g}")
            elif not (low := float(cosine(got, want).min(initial=1.0))) >= REDUCED_COSINE:
                raise BundleError(f"{what} has cosine {low:.4f} to the canonical output")


def cosine(a: F32, b: F32) -> F32:
    """Cosine along the last axis; shape is that of the inputs without it. Two zero vectors have cosine 1."""
    left, right = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
    result: F32 = (a * b).sum(axis=-1) / np.maximum(left * right, 1e-12)
    result[(left < 1e-6) & (right < 1e-6)] = 1.0  # an expert that is silent on both sides
    return result


def _read_tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path / TOKENIZER_NAME))
    except Exception as error:  # its library raises nothing else
        raise BundleError(f"bundle {path}: {TOKENIZER_NAME} is no tokenizer: {error}") from error


def read_manifest(path: Path) -> Manifest:
    """Read and check the manifest of a bundle folder.

    Raises:
        BundleError: it is missing, of another format, or not as it was written.
    """
    file = path / MANIFEST_NAME
    try:
        raw = read_bounded(file, _MAX_MANIFEST_BYTES)
        manifest = Manifest.model_validate_json(raw)
    except OSError as error:
        if (why := absent("bundle", path)) is not None:
            raise BundleError(f"bundle {path}: {why}") from error
        raise BundleError(f"bundle {path}: {MANIFEST_NAME} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first, *_ = errors = error.errors()
        for other in (each["input"] for each in errors if each["loc"] == ("format",)):
            raise BundleError(
                f"bundle {path}: {MANIFEST_NAME} is of format {other}; this version of MRSE Recall reads "
                f"format {FORMAT}: export the bundle again, or use the version that wrote it"
            ) from error
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise BundleError(f"bundle {path}: {MANIFEST_NAME}: {where}: {first['msg']}") from error
    content = json.loads(raw)
    if raw != canonical(content).encode():
        raise BundleError(f"bundle {path}: {MANIFEST_NAME} was changed: it is not as `mrse export` wrote it")
    # Before the files: a checksum that was changed in the manifest must not blame the file.
    if manifest.version != (expected := content_version(content)):
        raise BundleError(
            f"bundle {path}: {MANIFEST_NAME} was changed: it says version {manifest.version}, "
            f"its content is {expected}"
        )
    return manifest
