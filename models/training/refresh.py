"""Files that a stage makes anew every so many steps, and that a run which is killed must find again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.training import ranks


class Refresh:
    """A file for each time: ``<name>-<step>.npz`` in the run's folder.

    Args:
        folder: of the run.
        name: of the files.
        every: steps between two times.
    """

    def __init__(self, folder: Path, name: str, every: int) -> None:
        self._folder, self._name, self._every = folder, name, every
        #: The step of the file that is in use.
        self.step: int | None = None

    def due(self, step: int, first: int) -> Path | None:
        """The file of a step where it is another than the one in use; ``first`` is the first step of all."""
        own = step - (step - first) % self._every
        if own == self.step:
            return None
        self.step = own
        return self._folder / f"{self._name}-{own}.npz"

    def made(self, path: Path, checkpoint: Path, make: Callable[[Path], None]) -> Path:
        """Make a file unless it is there, by rank 0, and remove those that no checkpoint leads back to."""
        with ranks.leader_first():
            if not path.is_file():
                make(path)
            if ranks.leads():
                self._tidy(path, checkpoint)
        return path

    def _tidy(self, path: Path, checkpoint: Path) -> None:
        """A run that goes on from its last checkpoint needs the newest file before it, and later ones."""
        saved = checkpoint.stat().st_mtime_ns if checkpoint.is_file() else 0
        before = [file for file in self.files() if file.stat().st_mtime_ns <= saved]
        for file in before[:-1]:
            if file != path:
                file.unlink()

    def files(self) -> list[Path]:
        """The files that are there, by step."""
        return sorted(
            self._folder.glob(f"{self._name}-*.npz"), key=lambda file: int(file.stem.rpartition("-")[2])
        )

    def clear(self) -> None:
        """Remove all files, when the stage has ended."""
        if ranks.leads():
            for file in self.files():
                file.unlink()
