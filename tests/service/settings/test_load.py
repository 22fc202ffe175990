"""Settings: where each value comes from, what is refused, what is hidden."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from common.masking import mask_url
from index.engine import Engine, EngineSettings, OpenedIndex
from index.engines import ENGINES
from service.recall.routes.i2i import I2ISettings
from service.settings import Settings, SettingsError, effective, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("MRSE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mrse.toml"
    path.write_text('[server]\nport = 9000\nhost = "0.0.0.0"\n[redis]\nurl = "redis://:pw@cache/1"\n')
    return path


def test_the_command_line_wins_over_the_environment_over_the_file_over_defaults(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().server.port == 8080
    assert load_settings(file).server.port == 9000
    monkeypatch.setenv("MRSE_SERVER_PORT", "9001")
    assert load_settings(file).server.port == 9001
    assert load_settings(file, {"server": {"port": 9002}}).server.port == 9002
    assert load_settings(file, {"server": {"port": 9002}}).server.host == "0.0.0.0"


def test_the_file_may_be_named_by_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRSE_CONFIG", str(file))
    assert load_settings().server.port == 9000


def test_the_redis_url_has_the_promised_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRSE_REDIS_URL", "redis://cache/2")
    url = load_settings().redis.url
    assert url is not None
    assert url.get_secret_value() == "redis://cache/2"


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRSE_REDIS_URL", "")
    assert load_settings().redis.url is None


def test_underscores_in_keys_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRSE_RECALL_I2I_SHARE", "0.05")
    monkeypatch.setenv("MRSE_RECALL_I2I_TRIGGER_FLOOR", "0.5")
    monkeypatch.setenv("MRSE_RECALL_RRF_K", "7")
    monkeypatch.setenv("MRSE_LIMITS_MAX_K", "77")
    settings = load_settings()
    assert settings.recall.tables["i2i"] == I2ISettings(share=0.05, trigger_floor=0.5)
    assert settings.recall.rrf_k == 7
    assert settings.limits.max_k == 77


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[server]\nprot = 1\n", "server.prot: there is no such key; did you mean port?"),
        ("[sever]\nport = 1\n", "sever: there is no such key; did you mean server?"),
        (
            "[experiments.e.a]\nweigth = 1\n",
            "experiments.e.a.weigth: there is no such key; did you mean weight?",
        ),
        (
            "[experiments.nohist.off]\ni2i = {enabled = false}\n",
            "experiments.nohist.off.i2i: there is no such key; "
            "did you mean experiments.nohist.off.recall.i2i",
        ),
        ('[server]\nport = "many"\n', "server.port: "),
        ('[index]\nengine = "none"\n', "index.engine: Input should be 'embedded' or 'vespa'"),
        ("[embedded]\nthreads = 0\n", "embedded.threads: "),
        ('[vespa]\nulr = "x"\n', "vespa.ulr: there is no such key"),
        ("[server]\nport = 70000\n", "server.port: "),
        (
            "[recall.q2i]\nshare = 0.9\n",
            "recall: the routes' shares of an answer are above 1: q2i.share 0.9 + i2i",
        ),
        ("[limits]\nshed_candidates_at = 0.9\n", "limits: shed_candidates_at"),
        ("[recall.i2i]\nshed = 0.9\n", "recall.i2i.shed: there is no such key"),
        ("[recall]\nq3i = {}\n", "recall.q3i: there is no such key"),
        ("[experiments.merge]\na = {bundle = 'x', index = 'y'}\n", "only arms of `towers`"),
        ("[experiments.towers]\na = {bundle = 'x'}\n", "bundle and index go together"),
        ("[experiments.merge]\na = {weight = 0}\n", "experiments.merge: no arm has a weight"),
        ("[experiments.merge]\na = {weight = inf}\n", "experiments.merge.a.weight"),
        ("[experiments.merge]\na = {weight = nan}\n", "experiments.merge.a.weight"),
        (
            "[experiments.merge]\na = {weight = 1e308}\nb = {weight = 1e308}\n",
            "experiments.merge: the weights are too large to be added up",
        ),
        ("[experiments.merge]\na = {recall = {merg = 'rrf'}}\n", "experiments.merge.a.recall.merg"),
        ("[experiments.m]\na = {recall = {i2i = {share = 2}}}\n", "experiments.m.a.recall.i2i.share: Input"),
        ("[experiments.merge]\na = {recall = {merge = 'best'}}\n", "experiments.merge.a.recall.merge"),
        ("[experiments.'a b']\na = {weight = 1}\n", "experiments.a b"),
        ("[server\n", "not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, toml: str, message: str) -> None:
    file = tmp_path / "mrse.toml"
    file.write_text(toml)
    with pytest.raises(SettingsError) as refused:
        load_settings(file)
    assert message in str(refused.value)
    if "recall" not in message and "experiments" not in message and "only" not in message:
        assert str(file) in str(refused.value) or "together" in message


def test_a_variable_of_a_misspelt_group_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MRSE_SERVR_PORT", "9")
    monkeypatch.setenv("MRSE_HOME_DIRECTORY", "/srv")  # somebody's own
    load_settings(file)
    (said,) = caplog.messages
    assert said == "MRSE_SERVR_PORT sets nothing: there is no group [servr]; did you mean MRSE_SERVER_PORT?"


def test_what_is_wrong_in_the_environment_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRSE_SERVER_PORT", "many")
    with pytest.raises(SettingsError, match=r"^MRSE_SERVER_PORT: server\.port: "):
        load_settings(file)
    monkeypatch.delenv("MRSE_SERVER_PORT")
    monkeypatch.setenv("MRSE_REDIS_ULR", "redis://x")
    with pytest.raises(SettingsError, match=r"MRSE_REDIS_ULR: redis\.ulr: there is no such key"):
        load_settings(file)
    monkeypatch.delenv("MRSE_REDIS_ULR")
    monkeypatch.setenv("MRSE_EXPERIMENTS", "not json")
    with pytest.raises(SettingsError, match=r"^MRSE_EXPERIMENTS: experiments: Input should be a valid dict"):
        load_settings(file)


def test_a_group_or_a_table_may_be_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRSE_REDIS", '{"url": "redis://one/1", "timeout_ms": 5}')
    monkeypatch.setenv("MRSE_REDIS_URL", "redis://two/2")
    monkeypatch.setenv("MRSE_RECALL_I2I", '{"share": 0.1}')
    settings = load_settings()
    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value() == "redis://two/2"
    assert settings.redis.timeout_ms == 5
    assert settings.recall.tables["i2i"].share == 0.1
    monkeypatch.setenv("MRSE_EXPERIMENTS", "{")
    with pytest.raises(SettingsError, match=r"^MRSE_EXPERIMENTS: not JSON"):
        load_settings()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: No such file"):
        load_settings(tmp_path / "none.toml")


def test_secrets_are_hidden_and_nothing_else(file: Path) -> None:
    settings = load_settings(file)
    shown = effective(settings)
    assert shown["redis"]["url"] == "redis://:***@cache/1"
    assert shown["server"]["port"] == 9000
    assert "pw" not in repr(settings)
    assert "pw" not in str(shown)
    assert set(shown) == {*Settings.model_fields, *ENGINES}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("redis://user:p%40ss@cache:6379/0", "redis://user:***@cache:6379/0"),
        ("rediss://:pass@[::1]:6379/0?password=x", "rediss://:***@[::1]:6379/0?***"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("just-a-password", "***"),
        ("redis://[broken", "***"),
    ],
)
def test_addresses_are_shown_without_passwords(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_settings_are_frozen(file: Path) -> None:
    settings = load_settings(file)
    with pytest.raises(ValidationError):
        settings.server.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.server = settings.server  # type: ignore[misc]


class _ToySettings(EngineSettings):
    shelves: int = 3


class _Toy(Engine[_ToySettings]):
    name = "toy"
    settings = _ToySettings

    def open(self, path: Path, settings: _ToySettings, *, queue: int) -> OpenedIndex:
        raise NotImplementedError


def test_each_engine_has_a_table_of_its_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "toy", _Toy())
    monkeypatch.setenv("MRSE_TOY_SHELVES", "5")
    file.write_text('[index]\nengine = "toy"\n[toy]\nshelves = 4\n[embedded]\nrebuild_after = 7\n')
    settings = load_settings(file)
    assert settings.engine_table == _ToySettings(shelves=5)
    assert effective(settings)["embedded"] == {
        "threads": 2,
        "rebuild_after": 7,
        "rebuild_after_mb": 128,
        "reserve_mb": 256,
        "verify_every_h": 24.0,
    }


@pytest.mark.parametrize(
    "url", ["http://x", "localhost:6379", "redis://host:port/0", "x", "redis://:secret@h:99999"]
)
def test_a_url_that_is_not_of_redis_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MRSE_REDIS_URL", url)
    with pytest.raises(
        SettingsError, match=r"MRSE_REDIS_URL: redis\.url: Input should be redis://"
    ) as caught:
        load_settings()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["redis://h", "rediss://user:pass@h:6380/1", "unix:///run/redis.sock", "redis://[::1]:6379/0?protocol=3"],
)
def test_urls_of_redis(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MRSE_REDIS_URL", url)
    found = load_settings().redis.url
    assert found is not None
    assert found.get_secret_value() == url
