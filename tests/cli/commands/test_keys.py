"""``mrse keys new``."""

from __future__ import annotations

import json
from pathlib import Path

from devtools.pages import elsewhere
from service.access.keyfile import digest, read_keys
from tests.support.command import mrse_here


def test_the_key_is_printed_once_with_the_lines_of_the_file(tmp_path: Path) -> None:
    (command,) = elsewhere("docs/kubernetes.md", "tests/cli/commands/test_keys.py")
    made = mrse_here(*command.split()[1:], "--json")
    said = json.loads(made.stdout)
    (tmp_path / "keys.toml").write_text(said["lines"])
    assert read_keys(tmp_path / "keys.toml")[digest(said["key"].encode())].name == "shop"
    refused = mrse_here("keys", "new", "shop", "--scope", "all")
    assert refused.returncode == 2
    assert "scopes" in refused.stderr
