"""The reference pages say what the code has, all of it, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest

from cli.main import COMMANDS
from devtools.openapi import DOCUMENT
from devtools.pages import PAGES, ROOT
from devtools.reference import answers, errors
from devtools.reference.__main__ import pages
from devtools.reference.keys import flat
from devtools.reference.marked import filled
from devtools.reference.settings import made as settings_made
from models.towers.config import Config
from models.towers.experts import EXPERTS
from models.towers.presets import PRESETS
from service.degraded import degraded_words
from service.http import problems
from service.settings import load_settings

STALE = "run: python -m devtools.reference"


def of(page: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, PAGES[f"docs/reference/{page}.md"], re.MULTILINE))


def test_every_made_part_is_what_the_code_makes() -> None:
    made = pages()
    assert len(made) >= 7
    for path, text in made.items():
        assert path.read_text(encoding="utf-8").splitlines() == text.splitlines(), f"{path.name}: {STALE}"


def test_every_setting_is_on_its_page_and_no_other() -> None:
    """By what a service dumps of its settings, which the page is not made of."""
    told = of("settings", r"^\| `([\w.]+)` \|")
    dumped = flat(load_settings().model_dump())
    tables = {"experiments", "assignment.layers", "assignment.experiments"}  # of names of one's own
    named = {key for key in told if "NAME" in key}
    assert {key.partition(".NAME")[0] for key in named} == tables
    inside = {key for key in told if key.startswith("recall.diversity.")}  # of a table that is left out
    assert told - named - inside == dumped.keys() - tables


def test_every_key_of_training_is_on_its_page_and_no_other() -> None:
    told = of("config", r"^\| `([\w.]+)` \|")
    presets = {"tiny", "demo", "text", "paper"}
    known = flat(Config().model_dump(mode="json")).keys() | {f"switches.{name}" for name in EXPERTS}
    assert told - presets == known
    for key in known:
        if key not in ("preset", "dimensions.experts"):
            Config().with_overrides({key: flat(Config().model_dump(mode="json"))[key]})


@pytest.mark.parametrize("page", ["settings", "config", "cli"])
def test_every_key_and_option_has_a_meaning(page: str) -> None:
    rows = re.findall(r"^\| `.*\| (.*?) ?\|$", PAGES[f"docs/reference/{page}.md"], re.MULTILINE)
    presets = len(PRESETS) if page == "config" else 0
    assert len(rows) > 100
    assert sum(not row for row in rows) <= presets


def test_every_kind_of_problem_is_on_its_page_and_no_other() -> None:
    told = of("errors", r"^\| `([\w-]+)` \| \d")
    used = errors.statuses_of_kinds()
    assert told == problems._TITLES.keys() == used.keys() == errors._TOLD.keys()
    assert all(used.values()), [kind for kind, statuses in used.items() if not statuses]


def test_every_degraded_word_is_on_its_page() -> None:
    words = of("errors", r"^\| `([a-z0-9_]+)` \| [A-Z]")
    assert words == degraded_words().keys()


def test_every_route_of_the_service_is_on_its_page_and_no_other() -> None:
    """By the routes of the application, not by the document that the page is made of."""
    from service.app import create_app

    app = create_app(load_settings(None, {"server": {"admin_token": "0" * 32}}))
    told = of("api", r"^## `([A-Z]+ /\S*)`$")
    assert told == set(_routes(app.routes, documented=True))
    assert {"GET /", "GET /docs", "GET /openapi.json"} <= set(_routes(app.routes, documented=False))


def _routes(routes: Iterable[Any], *, documented: bool) -> Iterable[str]:
    for route in routes:
        if getattr(route, "include_in_schema", False) == documented:
            for method in (getattr(route, "methods", None) or set()) - {"HEAD", "OPTIONS"}:
                yield f"{method} {route.path.replace(':path', '')}"


def test_every_command_is_on_its_page_and_no_other() -> None:
    assert of("cli", r"^## mrse (.+)$") == COMMANDS.keys()


def test_the_recorded_answers_are_of_the_document() -> None:
    """Every call has one, as it should be, with the fields that the document promises and no other."""
    api = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    recorded = answers.recorded()
    calls = {call["operationId"]: call for methods in api["paths"].values() for call in methods.values()}
    assert recorded.keys() == calls.keys()
    for name, call in calls.items():
        answer = call["responses"][str(recorded[name]["status"])]
        assert recorded[name]["status"] == 200, name
        schema = answer["content"].get("application/json", {}).get("schema", {})
        _fits(recorded[name]["body"], schema, api["components"]["schemas"], name)


def _fits(value: Any, schema: dict[str, Any], shapes: dict[str, Any], at: str) -> None:
    if "$ref" in schema:
        schema = shapes[schema["$ref"].rpartition("/")[2]]
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if options and value is not None:
        schema = options[0] | {"$defs": shapes}
        return _fits(value, schema, shapes, at)
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema.get("required", ())) <= value.keys() <= schema["properties"].keys(), at
        for key, each in value.items():
            _fits(each, schema["properties"][key], shapes, f"{at}.{key}")
    if isinstance(value, list):
        for each in value:
            _fits(each, schema.get("items", {}), shapes, f"{at}[]")
    return None


def test_a_setting_without_a_comment_is_found_and_a_mark_that_nothing_makes_is_refused() -> None:
    assert "`server.port`" in settings_made()
    with pytest.raises(KeyError):
        filled("<!-- made: nothing -->\n<!-- /made -->", {})
    assert filled("a\n<!-- made: x -->\nold\n<!-- /made -->\nb", {"x": lambda: "new"}) == (
        "a\n<!-- made: x -->\nnew\n<!-- /made -->\nb"
    )


def test_links_to_files_and_headings_lead_somewhere() -> None:
    """In the repository, where pages are read too; `make docs` looks at the site."""
    anchors = {page: _anchors(text) for page, text in PAGES.items()}
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)):
            if re.match(r"\w+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (ROOT / page).parent / path if path else ROOT / page
            assert file.exists(), f"{page}: {target}"
            if anchor and file.suffix == ".md":
                name = str(file.resolve().relative_to(ROOT))
                assert anchor in anchors[name], f"{page}: {target}"


def _anchors(text: str) -> set[str]:
    bare = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return {
        re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", bare, re.MULTILINE)
    }
