"""Secrets in files of their own: read with the settings, refused in words, shown nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from index.engine import Engine, EngineSettings, OpenedIndex
from index.engines import ENGINES
from service.settings import SettingsError, effective, load_settings
from service.settings.secret_files import secret_keys
from service.settings.tree import composed


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MRSE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("redis://:pw-of-redis@cache/3\n")
    return path


def test_every_secret_has_a_file_and_no_other_key_has() -> None:
    followed = {("server", "admin_token"), ("vespa", "token")}  # these have a key of their own
    found = set(secret_keys(composed()))
    assert found == {
        ("redis", "url"),
        ("events", "redis_url"),
        ("exposures", "redis_url"),
        ("exposures", "key"),
    }
    for group, key in followed:
        assert f"{key}_file" in type(getattr(load_settings(), group)).model_fields


def test_a_variable_names_the_file_of_a_secret(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for group, key in secret_keys(composed()):
        monkeypatch.setenv(f"MRSE_{group}_{key}_FILE".upper(), str(secret))
    settings = load_settings()
    for group, key in secret_keys(composed()):
        found = getattr(getattr(settings, group), key)
        assert found.get_secret_value() == "redis://:pw-of-redis@cache/3"
    assert "pw-of-redis" not in str(effective(settings))


def test_the_toml_file_names_it_too_and_the_environment_wins(
    tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "mrse.toml"
    config.write_text(f'[redis]\nurl_file = "{secret}"\ntimeout_ms = 7\n')
    settings = load_settings(config)
    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value().endswith("/3")
    assert settings.redis.timeout_ms == 7
    monkeypatch.setenv("MRSE_REDIS_URL", "redis://other")
    settings = load_settings(config)
    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value() == "redis://other"


def test_an_engine_of_an_extension_has_it_too(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class AcmeSettings(EngineSettings):
        password: SecretStr | None = None

    class Acme(Engine[AcmeSettings]):
        name = "acme"
        settings = AcmeSettings

        def open(self, path: Path, settings: AcmeSettings, *, queue: int) -> OpenedIndex:
            raise NotImplementedError

    monkeypatch.setitem(ENGINES, "acme", Acme())
    monkeypatch.setenv("MRSE_ACME_PASSWORD_FILE", str(secret))
    table = load_settings().acme  # type: ignore[attr-defined]
    assert table.password.get_secret_value().startswith("redis://")


def _content(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hidden-one\nhidden-two\n", "holds more than one line"),
        (b"hidden\xff", "is not UTF-8"),
        (b"hidden" * 10_000, "over 16384"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_its_content_is_not_shown(
    secret: Path, content: bytes | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _content(secret, content)
    monkeypatch.setenv("MRSE_EXPOSURES_KEY_FILE", str(secret))
    with pytest.raises(SettingsError, match=reason) as refused:
        load_settings()
    assert str(refused.value).startswith(f"MRSE_EXPOSURES_KEY_FILE: {secret}: ")
    assert "hidden" not in str(refused.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("MRSE_REDIS_URL_FILE", str(tmp_path / "pipe"))
    with pytest.raises(SettingsError, match="is a named pipe, expected a file"):
        load_settings()


def test_a_secret_that_is_wrong_is_told_by_the_variable_of_its_file(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret.write_text("http://no-redis")
    monkeypatch.setenv("MRSE_REDIS_URL_FILE", str(secret))
    with pytest.raises(SettingsError, match=r"^MRSE_REDIS_URL_FILE: redis.url: Input should be redis://"):
        load_settings()


def test_a_secret_and_its_file_together_are_refused(
    tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MRSE_REDIS_URL_FILE", str(secret))
    monkeypatch.setenv("MRSE_REDIS_URL", "redis://x")
    with pytest.raises(SettingsError, match="MRSE_REDIS_URL_FILE: url and url_file are both given"):
        load_settings()
    monkeypatch.delenv("MRSE_REDIS_URL_FILE")
    (tmp_path / "both.toml").write_text('[redis]\nurl = "redis://x"\nurl_file = 3\n')
    with pytest.raises(SettingsError, match=r"both.toml: redis.url_file: url and url_file"):
        load_settings(tmp_path / "both.toml")
    token = {"admin_token": "a", "admin_token_file": str(secret)}
    with pytest.raises(SettingsError, match="admin_token and admin_token_file are both given"):
        load_settings(None, {"server": token})


def test_a_file_of_what_is_no_secret_is_an_unknown_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRSE_SERVER_PORT_FILE", "/nowhere")
    with pytest.raises(SettingsError, match=r"MRSE_SERVER_PORT_FILE: server.port_file: there is no such key"):
        load_settings()
