"""Spans that a test looks at, without OpenTelemetry."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.calling import Span


@dataclass
class Seen:
    """A span, its parts, and what was said of it."""

    name: str
    recording: bool = True
    trace_id: str = "0" * 32
    kind: str = ""
    parts: list[Seen] = field(default_factory=list)
    said: dict[str, str | int | float | bool] = field(default_factory=dict)
    ended: bool = False

    @property
    def headers(self) -> dict[str, str]:
        return {"traceparent": self.name}

    def child(self, name: str, *, calls: bool = False, ago_s: float = 0.0) -> Seen:
        self.parts.append(Seen(name, kind="call" if calls else ""))
        return self.parts[-1]

    def bare(self) -> Span:
        return Seen(self.name, recording=False)

    def note(self, name: str, value: str | int | float | bool) -> None:
        self.said[name] = value

    def end(self, error: str | None = None, *, name: str | None = None, ago_s: float = 0.0) -> None:
        assert not self.ended, f"{self.name} ended twice"
        self.ended = True
        self.name = name or self.name
        if error is not None:
            self.said["error.type"] = error
