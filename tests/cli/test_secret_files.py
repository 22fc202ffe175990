"""Commands read secrets from the files that `*_FILE` variables name."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import build
from common.secret_files import SecretFileError, secret_variable


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(build(), arguments, env={"MRSE_REDIS_URL": "", **variables})


def test_redis_of_a_command_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:hidden@127.0.0.1:1/0\n")
    done = run("produce", "forget", "u1", MRSE_REDIS_URL_FILE=str(tmp_path / "url"))
    assert "redis redis://:***@127.0.0.1:1/0" in str(done.exception)


def test_without_redis_a_command_says_how_to_name_it() -> None:
    done = run("produce", "forget", "u1", MRSE_REDIS_URL_FILE="")
    assert done.exit_code == 2
    assert "--redis is missing; so are MRSE_REDIS_URL and MRSE_REDIS_URL_FILE" in done.stderr.replace(
        "\n", " "
    )


def test_an_option_wins_over_the_file() -> None:
    done = run("produce", "forget", "u1", "--redis", "redis://127.0.0.1:1/7", MRSE_REDIS_URL_FILE="/nowhere")
    assert "127.0.0.1:1/7" in str(done.exception)


def test_a_key_may_stand_in_a_file(tmp_path: Path) -> None:
    done = run("recall", "shoes", MRSE_KEY_FILE=str(tmp_path / "none"))
    assert isinstance(done.exception, SecretFileError)
    assert "MRSE_KEY_FILE: " in str(done.exception)


def test_a_variable_and_its_file_are_not_set_together() -> None:
    with pytest.raises(SecretFileError, match="A and A_FILE are both set"):
        secret_variable("A", {"A": "1", "A_FILE": "/x"})
    assert secret_variable("A", {"A": "1", "A_FILE": ""}) == "1"
    assert secret_variable("A", {}) is None
