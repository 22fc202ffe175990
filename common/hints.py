"""What an error says beside what is wrong: what may have been meant, which command makes what is missing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

#: What the verbs hand to each other as folders.
Artifact = Literal["shop", "run", "bundle", "embeddings", "index"]

#: The file by which each is known, and how one comes by it; *PATH* is the folder that was named.
_MARKS: Final = MappingProxyType(
    {
        "shop": (
            "shop.toml",
            "docs/reference/files.md says what one holds; `mrse shop make PATH` draws one",
        ),
        "run": ("config.json", "`mrse train SHOP --out PATH` makes one"),
        "bundle": ("manifest.json", "`mrse export RUN --out BUNDLES` writes one below BUNDLES"),
        "embeddings": ("meta.json", "`mrse embed SHOP --bundle BUNDLE --out PATH` writes them"),
        "index": ("index.json", "`mrse index build EMBEDDINGS --out PATH` makes one"),
    }
)
_NAMED: Final = MappingProxyType(
    {
        "shop": "a shop",
        "run": "a training run",
        "bundle": "a bundle",
        "embeddings": "embeddings",
        "index": "an index",
    }
)
#: Entries of a folder that are looked at.
_LOOKED_AT: Final = 1000
#: Longest name that is compared: comparing costs its square.
_LONGEST: Final = 64


def meant(word: str, known: Iterable[str]) -> str:
    """``; did you mean image.epochs?``, or nothing where no known word is near."""
    if len(word) > _LONGEST:
        return ""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def absent(artifact: Artifact, path: Path) -> str | None:
    """Why a folder is not the artifact that is wanted, and what to do; None where its mark is there.

    Args:
        artifact: what is wanted.
        path: the folder that was named.
    """
    mark, makes = _MARKS[artifact]
    if (path / mark).is_file():
        return None
    if not path.exists():
        return f"there is no such folder{_meant_beside(path)}; {makes.replace('PATH', str(path))}"
    makes = makes.replace("PATH", artifact)
    if not path.is_dir():
        return f"is a file, not a folder; {makes}"
    for other, (found, _) in _MARKS.items():
        if (path / found).is_file() and other != artifact:
            makes = makes.replace(other.upper(), str(path))
            return f"holds {_NAMED[other]}, not {_NAMED[artifact]}; {makes}"
    below = sorted(each for each in islice(path.iterdir(), _LOOKED_AT) if (each / mark).is_file())
    if below:
        return f"holds {_NAMED[artifact]} in a folder of its own: name {below[-1]}"
    return f"is not {_NAMED[artifact]}: there is no {mark}; {makes}"


def _meant_beside(path: Path) -> str:
    """`` (did you mean bundles/acme-1a2b?)`` of what lies beside a path that is not there, or nothing."""
    try:
        names = [each.name for each in islice(path.parent.iterdir(), _LOOKED_AT)]
    except OSError:
        return ""
    found = difflib.get_close_matches(path.name[:_LONGEST], names, n=1, cutoff=0.6)
    return f" (did you mean {path.with_name(found[0])}?)" if found else ""
