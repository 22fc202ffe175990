"""A folder before its canary, with the service that runs by it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli.release.state import Step
from tests.cli.release.made import Folder


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path)
    service = folder.service

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(service.status, service.exposition() if service.status == 200 else "")

        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.switched.append((self.path, said, self.headers["Authorization"]))
            self._answer(200, "{}")

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        folder.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


@pytest.fixture
def dropped(made: Folder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Versions dropped from Vespa; the release under way fed ``item_new``, and the shop has new files."""
    found: list[str] = []
    monkeypatch.setattr("cli.release.tidy._dropped", lambda release, version: found.append(version) or True)
    made.config.write_text(
        made.config.read_text().replace(
            "[index]", '[vespa]\nurl = "http://127.0.0.1:1"\n[index]\nengine = "vespa"'
        )
    )
    made.tables = '[vespa]\npackage = "package"\nendpoints = ["http://e"]\nconfig_servers = ["http://c"]\n'
    fed = made.begin(made.told.append)
    fed.current.steps["package"] = Step(state="done", began=0, found={"document_type": "item_new"})
    fed.file.save()
    (made.folder / "package/versions").mkdir(parents=True)
    (made.folder / "package/versions/item_new.json").write_text("{}")
    (made.folder / "shop/items.csv").write_text("id,title\na,cup\nb,hat\n")
    return found
