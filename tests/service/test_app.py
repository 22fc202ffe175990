"""Ready means loaded and checked; a damaged bundle or another bundle's index never gets that far."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from artifacts.bundle import Bundle
from artifacts.bundle.manifest import CANONICAL_NAME, MANIFEST_NAME, Manifest, file_entry
from devtools.waiting import wait_for
from index.embedded.build import build_index
from service.deployment import Announce, Deployment, check_arms, open_deployment
from service.errors import StartError
from service.settings import Arm, Settings
from tests.service.conftest import Demo
from tests.support import shop
from tests.support.bundle import FILES
from tests.support.serving import make_settings, serving

BUNDLE_FILES = sorted({*FILES.values(), MANIFEST_NAME, CANONICAL_NAME, "tokenizer.json"})


def refuse(settings: Settings) -> str:
    """The message with which loading is refused."""
    with pytest.raises(StartError) as refused:
        check_arms(settings, [Arm()])
    return str(refused.value)


def test_readyz_is_503_and_says_what_is_loading_until_all_is_loaded(demo: Demo) -> None:
    go = threading.Event()

    def slow(*, announce: Announce, **given: Any) -> Deployment:
        announce("verifying the bundle demo")
        go.wait()
        return open_deployment(announce=announce, **given)

    with (
        serving(make_settings(demo.bundle.path, demo.index), slow, ready=False) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        wait_for(lambda: server.runtime.progress != "starting")
        assert client.get("/livez").status_code == 200
        waiting = client.get("/readyz")
        assert waiting.status_code == 503
        assert waiting.headers["content-type"] == "application/problem+json"
        assert waiting.headers["retry-after"] in ("1", "2", "3")
        assert waiting.json()["detail"] == "verifying the bundle demo"
        refused = client.post("/recall", json={"query": "a"})
        assert refused.status_code == 503
        assert refused.json()["type"] == "/problems/not-ready"
        assert client.get("/version").json()["ready"] is False
        go.set()
        wait_for(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/recall", json={"query": "a"}).status_code == 200


@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("file", BUNDLE_FILES)
def test_one_flipped_bit_in_any_file_of_the_bundle_is_refused(
    demo: Demo, tmp_path: Path, file: str, where: float
) -> None:
    damaged = shutil.copytree(demo.bundle.path, tmp_path / "bundle")
    content = bytearray((damaged / file).read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    (damaged / file).write_bytes(content)
    message = refuse(make_settings(damaged, demo.index))
    assert str(damaged) in message
    assert file in message


@pytest.mark.parametrize("file", BUNDLE_FILES)
def test_a_missing_file_is_refused(demo: Demo, tmp_path: Path, file: str) -> None:
    damaged = shutil.copytree(demo.bundle.path, tmp_path / "bundle")
    (damaged / file).unlink()
    assert file in refuse(make_settings(damaged, demo.index))


@pytest.mark.parametrize("role", ["query_experts", "query_fusion", "image_encoder"])
def test_canonical_outputs_that_are_off_are_refused(demo: Demo, tmp_path: Path, role: str) -> None:
    """A bundle that is whole but whose graphs do not give what training saw, as on a broken machine."""
    odd = shutil.copytree(demo.bundle.path, tmp_path / "bundle")
    with np.load(odd / CANONICAL_NAME) as stored:
        arrays = {name: stored[name] for name in stored.files}
    name = next(name for name in arrays if name.startswith(f"{role}/out/"))
    arrays[name] = arrays[name] + 0.5
    np.savez(odd / CANONICAL_NAME, **arrays)
    manifest = Manifest.model_validate_json((odd / MANIFEST_NAME).read_bytes())
    files = manifest.files | {CANONICAL_NAME: file_entry(odd / CANONICAL_NAME)}
    signed = manifest.model_copy(update={"files": files}).versioned()
    (odd / MANIFEST_NAME).write_text(signed.to_json(), encoding="utf-8")
    shop.write_embeddings(Bundle.load(odd), tmp_path / "embeddings")
    build_index(tmp_path / "embeddings", tmp_path / "index")
    message = refuse(make_settings(odd, tmp_path / "index"))
    assert signed.version in message
    assert f"{role} (fp32)" in message
    assert "off the canonical output" in message


def test_an_index_of_another_bundle_is_refused_and_both_are_named(demo: Demo) -> None:
    message = refuse(make_settings(demo.bundle.path, demo.other_index))
    assert demo.bundle.version in message
    assert demo.other_bundle.version in message
    assert str(demo.other_index) in message


def test_a_damaged_index_is_refused(demo: Demo, tmp_path: Path) -> None:
    damaged = shutil.copytree(demo.index, tmp_path / "index")
    files = [file for file in damaged.rglob("*") if file.is_file()]
    victim = max(files, key=lambda file: file.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    message = refuse(make_settings(demo.bundle.path, damaged))
    assert str(damaged) in message
    assert victim.name in message


def test_what_is_not_set_is_asked_for(demo: Demo) -> None:
    assert "MRSE_BUNDLE_PATH" in refuse(make_settings(None, demo.index))
    assert "MRSE_INDEX_PATH" in refuse(make_settings(demo.bundle.path, None))


def test_a_precision_that_the_bundle_lacks_is_refused(demo: Demo) -> None:
    settings = make_settings(demo.bundle.path, demo.index, bundle={"precision": "int8"})
    assert "not as int8" in refuse(settings)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_process_ends_with_code_2_and_a_message_that_says_which(demo: Demo, workers: str) -> None:
    ended = run_service(demo.bundle.path, demo.other_index, MRSE_SERVER_WORKERS=workers)
    assert ended.returncode == 2
    assert demo.bundle.version in ended.stderr
    assert demo.other_bundle.version in ended.stderr


def test_a_port_that_is_taken_ends_the_process(demo: Demo) -> None:
    with serving(make_settings(demo.bundle.path, demo.index)) as server:
        port = server.url.rpartition(":")[2]
        ended = run_service(demo.bundle.path, demo.index, MRSE_SERVER_PORT=port)
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_the_service_loads_the_library_for_parquet_only_for_previews() -> None:
    program = "import sys, service.app; sys.exit('pyarrow.parquet' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], timeout=120, check=True)


def run_service(bundle: Path, index: Path, **env: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys\n"
        "from service.errors import StartError\n"
        "from service.process.server import run\n"
        "from service.settings import load_settings\n"
        "try:\n"
        "    run(load_settings)\n"
        "except StartError as error:\n"
        "    print(error, file=sys.stderr)\n"
        "    sys.exit(2)\n"
    )
    environment = os.environ | {
        "MRSE_BUNDLE_PATH": str(bundle),
        "MRSE_INDEX_PATH": str(index),
        "MRSE_SERVER_PORT": "0",
        **env,
    }
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
