"""``mrse recall`` against a service that answers as it is told to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from typer.testing import CliRunner

from cli.main import build
from tests.support.command import mrse_here

EMPTY = {
    "items": [],
    "routes": {},
    "variant": {"towers": "control", "merge": "rrf"},
    "took_ms": 1.5,
    "model_version": "demo-00000000",
    "degraded": [],
}


def test_recall_says_what_was_applied_and_what_was_ignored() -> None:
    answer = EMPTY

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("X-Experiment-Applied", 'towers=control,merge=rrf; ignored="colour=_b_,size"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Service) as service:
        thread = threading.Thread(target=service.handle_request)
        thread.start()
        done = mrse_here("recall", "shoes", "--url", f"http://127.0.0.1:{service.server_port}")
        thread.join()
    assert done.returncode == 0, done.stderr
    assert "bundle demo-00000000; towers=control, merge=rrf" in done.stdout
    told = " ".join(done.stderr.split())  # lines end where the terminal does
    assert told == "--experiment: the service knows no colour=_b_, size, or does not let you choose it"


def test_titles_are_shown_and_done_without_where_the_index_has_none() -> None:
    asked: list[dict[str, Any]] = []
    item = {"item_id": "i7", "score": 0.75, "sources": [{"route": "q2i", "rank": 1, "score": 0.75}]}

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            if refuse and "title" in body.get("fields", ()):
                self.answer(
                    422, {"status": 422, "title": "", "errors": [{"field": "fields.0", "reason": "no"}]}
                )
            else:
                fields = {name: f"a {name}" for name in body.get("fields", ())}
                self.answer(200, {**EMPTY, "items": [{**item, "fields": fields} if fields else item]})

        def answer(self, status: int, content: dict[str, Any]) -> None:
            written = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Service) as service:
        thread = threading.Thread(target=service.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{service.server_port}"
            refuse = False
            shown = CliRunner().invoke(build(), ["recall", "shoes", "--url", url, "--field", "brand"])
            refuse = True
            without = CliRunner().invoke(build(), ["recall", "shoes", "--url", url])
        finally:
            service.shutdown()
            thread.join()
    assert shown.exit_code == without.exit_code == 0, shown.output + without.output
    assert [each.get("fields") for each in asked] == [["title", "brand"], ["title"], []]
    assert "a title" in shown.output
    assert "a brand" in shown.output
    assert "i7" in without.output
    assert "title" not in without.output
