"""``mrse check``: exit codes, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command import mrse_here


def test_check_exit_codes_and_json(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text('name = "s"\n')
    items = tmp_path / "items.csv"
    items.write_text("id,title\na,cup\n")
    good = mrse_here("check", str(tmp_path), "--json")
    told = json.loads(good.stdout)
    assert (good.returncode, told["problems"], told["warnings"]) == (0, 0, 1)
    assert told["first"][0]["warning"]
    items.write_text("id,title,sku\na,cup,7\n")
    noted = mrse_here("check", str(tmp_path))
    assert noted.returncode == 0
    assert "items.csv:1: warning: sku is neither" in noted.stdout
    assert "events: warning: no events file: looked for events.parquet, events.csv," in noted.stdout
    assert noted.stderr == "no problems, 2 warnings\n"
    items.write_text("id,title\na,cup\na,mug\n")
    bad = mrse_here("check", str(tmp_path), "--json")
    assert bad.returncode == 1
    told = json.loads(bad.stdout)
    assert (told["problems"], told["warnings"]) == (1, 1)
    assert (told["first"][0]["file"], told["first"][0]["line"]) == ("items.csv", 3)
    text = mrse_here("check", str(tmp_path))
    assert "items.csv:3: id is 'a'" in text.stdout
    assert text.stderr == "1 problem, 1 warning\n"
