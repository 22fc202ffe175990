"""The page of an evaluation over a synthetic shop."""

import re
from html.parser import HTMLParser
from pathlib import Path

from artifacts.shop.shop import Shop
from models.evaluation import MEASURES, Evaluation
from models.evaluation.report_page import write_page


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def assert_stands_alone(html: str) -> None:
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link|<iframe", html.replace("data:", ""))
    for source in re.findall(r'(?:src|href)="([^"]*)"', html):
        assert source.startswith("data:image/")
    tags = _Tags()
    tags.feed(html)
    assert tags.open == []


def test_the_page_stands_alone_and_has_every_measure(evaluation: Evaluation, shop_path: Path) -> None:
    html = write_page(evaluation, Shop.open(shop_path))
    assert_stands_alone(re.sub(r'src="data:image/jpeg;base64,[^"]+"', 'src="data:image/x"', html))
    assert html.count("data:image/jpeg;base64,") > 10
    for part in ("<svg", "Hits", "Misses", *(f"<th>{name}</th>" for name in MEASURES)):
        assert part in html
