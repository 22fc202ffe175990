"""What ``mrse demo`` says once it serves."""

from __future__ import annotations

import json
import shlex

from cli.commands.demo import first_screen


def test_the_first_screen_says_what_to_try() -> None:
    request = json.dumps({"query": "red running shoes", "k": 10})
    lines = first_screen("http://127.0.0.1:9000", request)
    text = "\n".join(lines)
    assert "in a browser:  http://127.0.0.1:9000/\n" in text
    curl = text[text.index("curl") : text.index("mrse recall")].replace("\\\n", "")
    words = shlex.split(curl)
    assert words[2] == "http://127.0.0.1:9000/recall"
    assert json.loads(words[-1]) == json.loads(request), "it can be pasted as it stands"
    assert 'mrse recall "red running shoes" --url http://127.0.0.1:9000' in text
