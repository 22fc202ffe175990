"""Keys at a running service: what each may, how much, and what guessing gets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from service.access.guard import CALLER, Guard
from service.access.keyfile import new_key
from service.admission.client import CLIENT
from service.errors import TooManyRequests, Unauthorized
from service.settings import Access, Server, Settings
from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving

ASK = {"query": "red running shoes", "k": 3}
#: Each scope, and a request that needs it.
NEEDS = {
    "read": ("POST", "/recall", ASK),
    "write": ("POST", "/admin/index/remove", {"ids": []}),
    "metrics": ("GET", "/metrics", None),
}


@dataclass(frozen=True)
class Guarded:
    client: httpx.Client
    file: Path
    keys: dict[str, str]

    def ask(self, need: str, key: str | None, **headers: str) -> httpx.Response:
        method, path, body = NEEDS[need]
        shown = {} if key is None else {"authorization": f"Bearer {key}"}
        return self.client.request(method, path, json=body, headers=shown | headers)


@pytest.fixture(scope="module")
def guarded(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    scopes = {"read": ["read"], "write": ["write"], "metrics": ["metrics"], "tester": ["read", "experiments"]}
    made = {name: new_key(name, of) for name, of in scopes.items()}
    made["slow"] = new_key("slow", ["read"], rate=0.001, burst=8)
    file = folder / "keys.toml"
    file.write_text("\n".join(lines for _, lines in made.values()))
    merge = {"score": {"weight": 1}, "rrf": {"weight": 0, "recall": {"merge": "rrf"}}}
    settings = make_settings(
        demo.bundle.path,
        copytree(demo.index, folder / "index"),
        experiments={"merge": merge},
        server={"admin_token": "hush"},
        access={"keys": file, "anonymous": []},
    )
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield Guarded(client, file, {name: key for name, (key, _) in made.items()})


@pytest.mark.parametrize("need", NEEDS)
def test_each_key_opens_what_it_is_for_and_nothing_else(guarded: Guarded, need: str) -> None:
    for name in ("read", "write", "metrics"):
        answer = guarded.ask(need, guarded.keys[name])
        assert answer.status_code == (200 if name == need else 403), (need, name)
    assert guarded.ask(need, "hush").status_code == 200
    missing = guarded.ask(need, None)
    assert missing.status_code == 401
    assert missing.headers["www-authenticate"] == "Bearer"
    assert missing.json()["type"] == "/problems/unauthorized"
    twice = [("authorization", f"Bearer {guarded.keys[need]}")] * 2
    method, path, body = NEEDS[need]
    assert guarded.client.request(method, path, json=body, headers=twice).status_code == 401


def test_what_needs_no_key_stays_open(guarded: Guarded) -> None:
    for path in ("/livez", "/readyz", "/", "/openapi.json", "/version"):
        assert guarded.client.get(path).status_code == 200, path


def test_a_forced_arm_is_for_who_may(guarded: Guarded) -> None:
    for name, arm in (("read", "score"), ("tester", "rrf")):
        answer = guarded.ask("read", guarded.keys[name], **{"x-experiment": "merge=rrf"})
        assert answer.json()["variant"]["merge"] == arm
    shown = {"authorization": f"Bearer {guarded.keys['tester']}"}
    assert "rrf" in guarded.client.get("/version", headers=shown).text
    shown = {"authorization": f"Bearer {guarded.keys['read']}"}
    assert "rrf" not in guarded.client.get("/version", headers=shown).text
    assert "rrf" not in guarded.client.get("/version").text


def test_a_rate_counts_the_entries_of_a_batch(guarded: Guarded) -> None:
    shown = {"authorization": f"Bearer {guarded.keys['slow']}"}
    batch = {"requests": [ASK] * 7}
    assert guarded.client.post("/recall/batch", json=batch, headers=shown).status_code == 200
    assert guarded.ask("read", guarded.keys["slow"]).status_code == 200
    refused = guarded.ask("read", guarded.keys["slow"])
    assert refused.status_code == 429
    assert refused.json()["type"] == "/problems/rate-limited"
    assert 900 < int(refused.headers["retry-after"]) <= 1001 + 60, "long waits are not doubled"
    assert guarded.ask("read", guarded.keys["read"]).status_code == 200


def test_a_quota_counts_the_entries_of_a_batch_until_the_day_ends(tmp_path: Path) -> None:
    key, lines = new_key("shop", ["read"], quota=8)
    keys = tmp_path / "keys.toml"
    keys.write_text(lines)
    refused: list[str] = []
    guard = Guard(make_settings(None, None, access={"keys": keys}), refused.append, wall=lambda: 86_000.0)
    scope = {"headers": header(key), "client": ("10.0.0.1", 1)}
    guard.enter(scope, "read")
    guard.charge(scope, 6)
    with pytest.raises(TooManyRequests, match="its 8 requests of a day") as told:
        guard.charge(scope, 2)
    assert told.value.wait_s == 400
    guard.enter(scope, "read")
    with pytest.raises(TooManyRequests):
        guard.enter(scope, "read")
    assert refused == ["quota", "quota"]


def test_guesses_are_slowed_and_counted_and_lock_no_key_out(guarded: Guarded) -> None:
    statuses = [guarded.ask("write", f"guess-{n}").status_code for n in range(60)]
    assert set(statuses) == {401, 429}  # 10 at once, and one in 2 s
    assert guarded.ask("write", guarded.keys["write"]).status_code == 200
    text = guarded.ask("metrics", guarded.keys["metrics"]).text
    counted = {
        sample.labels["reason"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "mrse_access_refused_total"
    }
    assert counted["unknown"] >= 10
    assert counted["unknown"] + counted["slowed"] >= 60
    for key in (*guarded.keys.values(), "hush"):
        assert key not in text


def header(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"a"), (b"authorization", b"Bearer " + key.encode())]


def guard(tmp_path: Path, lines: str = "", **access: object) -> Guard:
    (tmp_path / "keys.toml").write_text(lines)
    return Guard(Settings(access=Access(keys=tmp_path / "keys.toml", **access)))  # type: ignore[arg-type]


def test_the_client_of_fair_shares_is_the_name_of_the_key(tmp_path: Path) -> None:
    key, lines = new_key("shop", ["read"])
    scope: dict[str, object] = {"headers": header(key), "client": ("10.0.0.1", 1)}
    guard(tmp_path, lines).enter(scope, "read")
    assert scope[CLIENT] == "shop"
    early: dict[str, object] = {"headers": header(key)}
    guard(tmp_path, lines).recognise(early)
    assert early[CLIENT] == "shop"
    wrong: dict[str, object] = {"headers": header(key[:-1])}
    guard(tmp_path, lines).recognise(wrong)
    assert CLIENT not in wrong
    nobody: dict[str, object] = {"headers": []}
    guard(tmp_path, lines, anonymous=("read",)).enter(nobody, "read")
    assert CLIENT not in nobody
    assert nobody[CALLER].name is None  # type: ignore[attr-defined]


def test_an_expired_key_says_so(tmp_path: Path) -> None:
    key, lines = new_key("shop", ["read"])
    scope = {"headers": header(key), "client": ("10.0.0.1", 1)}
    with pytest.raises(Unauthorized, match="shop has expired"):
        guard(tmp_path, f"{lines}expires = 2020-01-01\n").enter(scope, "read")


def test_no_endpoint_that_is_open_tells_whether_a_guess_is_right() -> None:
    closed = Guard(Settings(server=Server(admin_token=SecretStr("hush"))))
    scope: dict[str, object] = {"headers": header("hush"), "client": ("10.0.0.1", 1)}
    closed.enter(scope, "read")
    assert scope[CALLER].scopes == {"read", "metrics"}  # type: ignore[attr-defined]
    assert closed.caller(scope).name is None
    closed.enter(scope, "write")


def test_a_token_is_not_looked_at_while_its_address_has_to_wait(tmp_path: Path) -> None:
    now = [0.0]
    settings = Settings(server=Server(admin_token=SecretStr("hush")))
    closed = Guard(settings, clock=lambda: now[0])

    def show(token: str, address: str = "10.0.0.1") -> None:
        closed.enter({"headers": header(token), "client": (address, 1)}, "write")

    show("hush")
    for n in range(10):
        with pytest.raises(Unauthorized):
            show(f"guess-{n}")
    for token in ("guess", "hush"):
        with pytest.raises(TooManyRequests) as raised:
            show(token)
        assert raised.value.wait_s == pytest.approx(2)
    show("hush", "10.0.0.2")
    now[0] += 2.1
    show("hush")


def test_wrong_keys_of_any_shape_are_refused(tmp_path: Path) -> None:
    key, lines = new_key("shop", ["read"])
    shapes = [key[:-1], key + "a", key + "\n", key.upper(), "", " " + key, "x" * 60_000, "\xff", "\0"]
    for number, shape in enumerate(shapes):
        scope = {"headers": header(shape), "client": (f"10.0.0.{number}", 1)}
        with pytest.raises((Unauthorized, TooManyRequests)):
            guard(tmp_path, lines).enter(scope, "read")
    for scheme in (b"bearer ", b"BEARER "):
        ok = {"headers": [(b"authorization", scheme + key.encode())]}
        guard(tmp_path, lines).enter(ok, "read")
