"""The file of keys: what is read, what is refused, and that nothing of a key is told."""

from __future__ import annotations

import os
import tracemalloc
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from service.access.keyfile import LOOKS_LIKE, MAX_FILE_BYTES, digest, new_key, read_keys
from service.errors import StartError

PROOF = "ab" * 32


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    return path


def test_a_new_key_is_found_by_its_lines(tmp_path: Path) -> None:
    first, lines = new_key("shop", ["read", "metrics"], date(2027, 6, 30), 20, 50)
    second, more = new_key("shop", ["read"])
    assert first != second
    assert LOOKS_LIKE.fullmatch(first.encode())
    assert first not in lines
    keys = read_keys(file(tmp_path, f"{lines}\n{more}"))
    known = keys[digest(first.encode())]
    assert (known.name, known.scopes, known.rate, known.burst) == ("shop", {"read", "metrics"}, 20, 50)
    assert known.expires_at == datetime(2027, 6, 30, tzinfo=UTC).timestamp()
    assert keys[digest(second.encode())].expires_at == float("inf")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "No Name", "scopes": ["read"]}, "name: small letters, digits"),
        ({"name": "a", "scopes": ["all"]}, "scopes"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["read"], "rate": -1.0}, "rate"),
        ({"name": "a", "scopes": ["read"], "burst": 5.0}, "burst without a rate"),
    ],
)
def test_what_the_file_may_not_have_is_not_made(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        new_key(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("key = [", "not TOML"),
        ("a = " + "[" * 5000, "not TOML"),
        ("[keys]", "only tables"),
        ('[[key]]\nname = "a"', "key 1: scopes"),
        (f'[[key]]\nname = "a"\nscopes = ["read"]\nsha256 = "mrse_{"x" * 43}"', "key 1: sha256"),
        (f'[[key]]\nname = "a"\nscopes = ["read"]\nsha256 = "{PROOF}"\nrat = 3', "key 1: rat"),
        (f'[[key]]\nname = "a"\nscopes = ["read"]\nsha256 = "{PROOF}"\nrate = inf', "key 1: rate"),
        (f'[[key]]\nname = "a"\nscopes = ["read"]\nsha256 = "{PROOF}"\n' * 2, "twice"),
        ("#" * (MAX_FILE_BYTES + 1), "over"),
        ("a" + ".a" * 120_000 + " = 1", "line 1 has over"),
        ("\na = " + "{a=" * 80_000, "line 2 has over"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_tells_no_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StartError, match=said) as raised:
        read_keys(file(tmp_path, text))
    assert "x" * 43 not in str(raised.value)


def test_the_costliest_file_that_is_read_costs_little(tmp_path: Path) -> None:
    line = ".".join(["a"] * 95)
    lines = [f"{line}{number} = 1" for number in range(MAX_FILE_BYTES // 202)]
    path = file(tmp_path, "\n".join(lines))
    tracemalloc.start()
    try:
        with pytest.raises(StartError, match="only tables"):
            read_keys(path)
        assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    finally:
        tracemalloc.stop()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "absent"):
        with pytest.raises(StartError, match=path.name):
            read_keys(path)
