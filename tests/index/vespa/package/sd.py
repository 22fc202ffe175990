"""Reads Vespa's schema language into blocks, as far as our rules need it.

Vespa itself checks the syntax; this reader takes any text and never fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Block:
    """``header { lines, blocks }``, such as ``field price type double { … }``."""

    header: str
    lines: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """The header's words."""
        return self.header.replace(":", " ").split()

    def named(self, keyword: str) -> Iterator[Block]:
        """Blocks directly below that start with ``keyword``."""
        return (block for block in self.blocks if block.words[:1] == [keyword])

    def settings(self, keyword: str) -> list[str]:
        """Values of ``keyword: value`` lines, and of a ``keyword { … }`` block's lines."""
        values = [
            line.partition(":")[2].strip() for line in self.lines if line.partition(":")[0].strip() == keyword
        ]
        for block in self.named(keyword):
            values += block.lines
        return values

    def walk(self) -> Iterator[Block]:
        """This block and all below."""
        yield self
        for block in self.blocks:
            yield from block.walk()

    def text(self) -> str:
        """The block without comments and layout: equal texts mean the same."""
        inner = [*self.lines, *(block.text() for block in self.blocks)]
        return f"{' '.join(self.header.split())}{{{';'.join(inner)}}}"


def parse(text: str) -> Block:
    """The whole file as one block without a header."""
    root = Block("")
    stack = [root]
    buffer = ""
    depth = 0  # of parentheses: tensor<float>(x{}) holds braces that are no block

    def flush() -> None:
        nonlocal buffer
        line = " ".join(buffer.split())
        if line:
            stack[-1].lines.append(line)
        buffer = ""

    for character in re.sub(r"#[^\n]*", "", text):
        if character == "{" and depth == 0:
            block = Block(" ".join(buffer.split()))
            stack[-1].blocks.append(block)
            stack.append(block)
            buffer = ""
        elif character == "}" and depth == 0:
            flush()
            if len(stack) > 1:
                stack.pop()
        elif character == "\n" and depth == 0:
            flush()
        else:
            depth += (character == "(") - (character == ")")
            depth = max(depth, 0)
            buffer += character
    flush()
    return root


@dataclass
class Schema:
    """A parsed schema: what our rules look at."""

    name: str
    block: Block
    document: Block

    @property
    def fields(self) -> dict[str, Block]:
        """Fields of the document by name; a header reads ``field NAME type TYPE``."""
        return {block.words[1]: block for block in self.document.named("field")}

    @property
    def summaries(self) -> dict[str, list[str]]:
        """Fields of each summary class, Vespa's own classes left out."""
        found = {}
        for block in self.block.named("document-summary"):
            inner = [each.words[1] for each in block.named("summary") if len(each.words) > 1]
            lines = [line.split()[1].rstrip(":") for line in block.lines if line.startswith("summary ")]
            found[block.words[1]] = inner + lines
        return found

    @property
    def profiles(self) -> dict[str, Block]:
        """Rank profiles by name."""
        return {block.words[1]: block for block in self.block.named("rank-profile")}

    def inherited(self, profile: str) -> list[Block]:
        """A rank profile and those it inherits from, nearest first."""
        found = []
        while profile in self.profiles and self.profiles[profile] not in found:
            block = self.profiles[profile]
            found.append(block)
            words = block.words
            profile = words[words.index("inherits") + 1].strip(",") if "inherits" in words else ""
        return found


def field_type(block: Block) -> str:
    """The type of a ``field NAME type TYPE`` block, without spaces."""
    return re.sub(r"\s", "", block.header.partition(" type ")[2])


def read_schema(text: str) -> Schema | None:
    """The schema of a file, or None for none."""
    for block in parse(text).named("schema"):
        for document in block.named("document"):
            return Schema(block.words[1], block, document)
    return None
