"""``mrse recall`` against a service that answers as it is told to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from tests.support.command import mrse


def test_recall_says_what_was_applied_and_what_was_ignored() -> None:
    answer = {
        "items": [],
        "routes": {},
        "variant": {"towers": "control", "merge": "rrf"},
        "took_ms": 1.5,
        "model_version": "demo-00000000",
        "degraded": [],
    }

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
        done = mrse("recall", "shoes", "--url", f"http://127.0.0.1:{service.server_port}")
        thread.join()
    assert done.returncode == 0, done.stderr
    assert "bundle demo-00000000; towers=control, merge=rrf" in done.stdout
    assert (
        done.stderr == "--experiment: the service knows no colour=_b_, size, or does not let you choose it\n"
    )
