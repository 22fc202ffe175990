"""Files that are made anew every so many steps, and that a killed run finds again."""

import os
from pathlib import Path

from models.training.refresh import Refresh


def test_a_file_is_due_every_so_many_steps(tmp_path: Path) -> None:
    refresh = Refresh(tmp_path, "hard", 10)
    due = {step: path.name for step in range(7, 40) if (path := refresh.due(step, 7))}
    assert due == {7: "hard-7.npz", 17: "hard-17.npz", 27: "hard-27.npz", 37: "hard-37.npz"}
    # A run that goes on in the middle needs the file of the steps before.
    again = Refresh(tmp_path, "hard", 10).due(25, 7)
    assert again == tmp_path / "hard-17.npz"


def test_what_a_checkpoint_leads_back_to_stays(tmp_path: Path) -> None:
    refresh, checkpoint = Refresh(tmp_path, "hard", 10), tmp_path / "stage2.pt"
    made: list[str] = []

    def make(path: Path, at: int) -> None:
        made.append(path.name)
        path.write_text("")
        os.utime(path, ns=(at, at))

    def step(number: int) -> list[str]:
        path = refresh.due(number, 0)
        assert path is not None
        refresh.made(path, checkpoint, lambda path: make(path, 1_000 + number))
        return [file.name for file in refresh.files()]

    # Without a checkpoint the run begins anew, and needs all.
    assert step(0) == ["hard-0.npz"]
    assert step(10) == ["hard-0.npz", "hard-10.npz"]
    checkpoint.write_text("")
    os.utime(checkpoint, ns=(1_015, 1_015))
    assert step(20) == ["hard-10.npz", "hard-20.npz"]
    assert step(30) == ["hard-10.npz", "hard-20.npz", "hard-30.npz"]
    os.utime(checkpoint, ns=(1_035, 1_035))
    assert step(40) == ["hard-30.npz", "hard-40.npz"]
    # What is there is not made again.
    Refresh(tmp_path, "hard", 10).made(tmp_path / "hard-40.npz", checkpoint, lambda path: make(path, 0))
    assert made == [f"hard-{number}.npz" for number in (0, 10, 20, 30, 40)]
    refresh.clear()
    assert refresh.files() == []
