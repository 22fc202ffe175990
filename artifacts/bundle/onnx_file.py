"""Looks into an ONNX file, without the library for it, for weights that lie elsewhere.

Such weights are no part of the checksum, so a changed byte in them would not be noticed; and a path that
the graph names is a path that somebody else chose. Only what may hold a tensor is walked, and weights are
skipped.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

#: Kinds of messages that may hold tensors, and in which of their fields (onnx.proto).
_Kind = Literal["model", "graph", "node", "attribute", "sparse", "function", "tensor", "training"]
_FIELDS: Mapping[_Kind, Mapping[int, _Kind]] = MappingProxyType(
    {
        "model": {7: "graph", 20: "training", 25: "function"},
        "training": {1: "graph", 2: "graph"},
        "graph": {1: "node", 5: "tensor", 15: "sparse"},
        "node": {5: "attribute"},
        "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
        "sparse": {1: "tensor", 2: "tensor"},
        "function": {7: "node", 11: "attribute"},
        "tensor": {},
    }
)
#: Fields of a tensor: where its data are, if elsewhere; and whether they are.
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
#: Fields that are looked at: exporters write thousands of nodes with dozens of fields.
_MAX_FIELDS = 5_000_000
#: Graphs in graphs, as of a loop or a condition.
_MAX_DEPTH = 64


class OnnxFileError(ValueError):
    """The file is no ONNX graph that stands alone; the message says why."""


def refuse_external_weights(path: Path) -> None:
    """Check that every weight of an ONNX file is in the file.

    Raises:
        OnnxFileError: one is not, or the file is no ONNX graph.
        OSError: the file cannot be read.
    """
    if path.suffix != ".onnx":  # onnxruntime has a format of its own, which this does not look into
        raise OnnxFileError("has another ending than .onnx")
    with path.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise OnnxFileError("is empty, expected an ONNX graph") from None
        with content:
            _walk(content)


def _walk(content: mmap.mmap) -> None:
    pending: list[tuple[_Kind, int, int, int]] = [("model", 0, len(content), 0)]
    looked = 0
    while pending:
        kind, start, end, depth = pending.pop()
        inner = _FIELDS[kind]
        for number, value, length in _fields(content, start, end):
            looked += 1
            if looked > _MAX_FIELDS or depth > _MAX_DEPTH:
                raise OnnxFileError("is too deep or has too many parts for an ONNX graph")
            if number in inner and length >= 0:
                pending.append((inner[number], value, value + length, depth + 1))
            elif kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value)):
                raise OnnxFileError(
                    "has weights in another file, which no checksum covers; expected all of them in the "
                    "graph's own file (onnx.save with save_as_external_data=False)"
                )


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Each field of a message: its number, and where its content begins and how long it is.

    A number instead of content is given as itself, with the length -1.
    """
    place = start
    while place < end:
        tag, place = _varint(content, place, end)
        wire, length = tag & 7, -1
        value = place
        if wire == 0:
            value, place = _varint(content, place, end)
        elif wire == 1:
            place += 8
        elif wire == 2:
            length, value = _varint(content, place, end)
            place = value + length
        elif wire == 5:
            place += 4
        else:
            raise OnnxFileError("is no ONNX graph")
        if place > end:
            raise OnnxFileError("is no whole ONNX graph")
        yield tag >> 3, value, length


def _varint(content: mmap.mmap, place: int, end: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= end:
            raise OnnxFileError("is no whole ONNX graph")
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise OnnxFileError("is no ONNX graph")
