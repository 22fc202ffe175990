"""The state file: whole, of one writer, and of no later version."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.release.state import (
    Current,
    Past,
    Served,
    StateError,
    StateFile,
    Step,
    alone,
    last_way_back,
)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.state.current = Current(release="r", made_of="m", steps={"check": Step(state="running", began=1.0)})
    file.save()
    assert StateFile(tmp_path).state == file.state


def test_it_does_not_grow_with_the_nights(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.state.history = [Past(release=str(n), verdict="refused", ended=n) for n in range(300)]
    file.save()
    history = StateFile(tmp_path).state.history
    assert [past.release for past in (history[0], history[-1])] == ["250", "299"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ('{"format": 2}', "is of format 2, of a later version; this one reads up to 1"),
        ('{"format": 1, "current": {"release": 3}}', "move it away to begin anew"),
        ("[]", "move it away"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_and_kept(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(StateError) as caught:
        StateFile(tmp_path)
    assert said in str(caught.value)
    assert (tmp_path / "state.json").read_text() == content


def test_one_release_at_a_time(tmp_path: Path) -> None:
    taken = pytest.raises(StateError, match="another `mrse release` works in")
    with alone(tmp_path / "work"), taken, alone(tmp_path / "work"):
        pass
    with alone(tmp_path / "work"):
        pass


def test_many_releases_that_change_nothing_leave_the_way_back(tmp_path: Path) -> None:
    first, second = (Served(bundle=name, index=name, version=name, trained=1) for name in ("a", "b"))
    again = Served(bundle="b", index="b", version="b", trained=1)
    file = StateFile(tmp_path)
    for number, (before, served) in enumerate([(None, first), (first, second), (second, again)]):
        file.state.history.append(
            Past(release=str(number), verdict="promoted", ended=number, served=served, before=before)
        )
    for number in range(3, 80):
        file.state.history.append(Past(release=str(number), verdict="unchanged", ended=number))
        file.save()
    history = StateFile(tmp_path).state.history
    assert [past.release for past in history] == ["1", "2", *map(str, range(30, 80))]
    way_back = last_way_back(history)
    assert way_back is not None
    assert way_back.before == first
