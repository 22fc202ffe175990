"""Pages that stand alone: tables, drawings as inline SVG and pictures as data, nothing from elsewhere."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterable, Sequence

from PIL import Image

from common.arrays import U8
from models.evaluation.statistics import Interval

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
th:first-child, td:first-child, td.left { text-align: left; }
.wide { overflow-x: auto; } .note { color: #777; font-size: .9rem; }
.range { color: #888; font-size: .8em; }
.answer { display: inline-block; width: 92px; margin: .15rem; vertical-align: top; font-size: .7rem;
  line-height: 1.2; } .answer img, .answer .none { width: 88px; height: 88px; object-fit: contain;
  background: #fff; border: 2px solid #8884; display: block; } .answer.right img { border-color: #1a8f4c; }
.query { margin: 1rem 0 .2rem; } svg text { fill: currentColor; font: 12px system-ui, sans-serif; }
"""
_COLOURS = ("#2f6fde", "#d9822b", "#1a8f4c", "#a44fc4", "#c23b4a", "#6b7280")


def text(value: object) -> str:
    """Escaped."""
    return html.escape(str(value))


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document."""
    head = f'<meta charset="utf-8"><title>{text(title)}</title><style>{_STYLE}</style>'
    body = "\n".join(parts)
    body = f"<body><h1>{text(title)}</h1>\n{body}</body>"
    return f"<!doctype html><html lang=en><head>{head}</head>{body}</html>\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are HTML."""
    top = "".join(f"<th>{text(h)}</th>" for h in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def section(head: str, *parts: str) -> str:
    """A heading and what stands below it, which is HTML."""
    return f"<h2>{text(head)}</h2>{''.join(parts)}"


def note(content: str) -> str:
    """A line in small print."""
    return f'<p class="note">{text(content)}</p>'


def cell(interval: Interval) -> str:
    """A figure with its interval."""
    if interval.value != interval.value:
        return "–"
    if interval.low != interval.low:
        return f"{interval.value:.3f}"
    bounds = f"{interval.low:.3f}–{interval.high:.3f}"
    return f'{interval.value:.3f} <span class="range">{bounds}</span>'


def intervals(figures: Sequence[tuple[str, Interval]], *, zero: bool = False) -> str:
    """Labelled points with their intervals, one under the other; ``zero`` draws a line at 0."""
    known = [(label, i) for label, i in figures if i.value == i.value]
    if not known:
        return note("Nothing to draw.")
    ends = [v for _, i in known for v in (i.low, i.high, i.value) if v == v]
    low, high = min([*ends, 0.0]), max([*ends, 0.0])
    high = high if high > low else low + 1.0
    width, left, right, step = 860, 260, 770, 22

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    parts, foot = [], step * len(known)
    for value in ticks(low, high):
        parts.append(_line(x(value), 0, x(value), foot + 4, "#8883"))
        parts.append(_label(x(value), foot + 18, f"{value:g}", "middle"))
    parts.append(_line(left, foot, right, foot, "#8888"))
    if zero or low < 0:
        parts.append(_line(x(0), 0, x(0), foot, "#8888"))
    for place, (label, i) in enumerate(known):
        y, colour = step * place + step / 2, _COLOURS[0]
        parts.append(_label(left - 10, y + 4, label, "end"))
        if i.low == i.low:
            parts.append(_line(x(i.low), y, x(i.high), y, colour, 2))
        parts.append(f'<circle cx="{x(i.value):.1f}" cy="{y}" r="4" fill="{colour}"/>')
        parts.append(_label(right + 14, y + 4, f"{i.value:+.3f}", "start"))
    return _svg(width, foot + 24, parts)


def curves(lines: dict[str, list[tuple[float, Interval]]], x_label: str, y_label: str) -> str:
    """Lines of points with intervals, by name; x may be any numbers in any order."""
    points = [(x, i) for line in lines.values() for x, i in line if i.value == i.value]
    if not points:
        return note("Nothing to draw.")
    xs = [x for x, _ in points]
    ys = [v for _, i in points for v in (i.value, i.low, i.high) if v == v]
    width, height, left, foot = 640, 300, 60, 40
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    x1, y1 = (x1 if x1 > x0 else x0 + 1), (y1 if y1 > y0 else y0 + 1e-6)

    def at(x: float, y: float) -> tuple[float, float]:
        across = left + (x - x0) / (x1 - x0) * (width - left - 130)
        return across, (height - foot) - (y - y0) / (y1 - y0) * (height - foot - 20)

    parts = [
        _line(left, height - foot, width - 130, height - foot, "#8888"),
        _line(left, 20, left, height - foot, "#8888"),
    ]
    ground, middle = height - foot + 16, (width - 130 + left) / 2
    for y in ticks(y0, y1):
        up = at(x0, y)[1]
        parts += [_line(left, up, width - 130, up, "#8883"), _label(left - 6, up + 4, f"{y:g}", "end")]
    parts += [_label(at(x, y0)[0], ground, f"{x:g}", "middle") for x in ticks(x0, x1)]
    parts += [_label(middle, height - 6, x_label, "middle"), _label(left, 12, y_label, "start")]
    for place, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        drawn = sorted(((x, i) for x, i in line if i.value == i.value), key=lambda pair: pair[0])
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in (at(x, i.value) for x, i in drawn))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, i in drawn if len(drawn) <= 20 else []:
            across, up = at(x, i.value)
            parts.append(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="{colour}"/>')
            if i.low == i.low:
                parts.append(_line(*at(x, i.low), *at(x, i.high), colour))
        parts.append(
            f'<text x="{width - 120}" y="{30 + 18 * place}" style="fill:{colour}">{text(name)}</text>'
        )
    return _svg(width, height, parts)


def ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers from ``low`` to ``high``, where an axis is marked; ``low < high``."""
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{place * step:.12g}") for place in range(first, last + 1)]


def picture(pixels: U8) -> str:
    """A picture ``[S, S, 3]`` as the data URL of a JPEG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, width: int = 1) -> str:
    ends = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def _label(x: float, y: float, content: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(content)}</text>'


def _svg(width: int, height: float, parts: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img">{"".join(parts)}</svg>'
