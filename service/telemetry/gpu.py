"""Memory of the graphics cards, where the model runs on one, by NVIDIA's own library.

It is read by ``nvidia-ml-py`` (the extra ``gpu``); without it, or without a driver, there are no such
metrics. A card's memory is that of all who use it, other processes too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.telemetry.metrics import Metrics

log = logging.getLogger("mrse.service")

#: Of onnxruntime: those that compute on NVIDIA's cards.
_ON_CARDS = frozenset({"CUDAExecutionProvider", "TensorrtExecutionProvider"})


def watch_cards(metrics: Metrics, providers: Iterable[str]) -> int:
    """Have the memory of each card among the metrics, read whenever these are noted.

    Args:
        metrics: get them.
        providers: of onnxruntime, by which graphs run; where none computes on a card nothing is done.

    Returns:
        how many cards there are.
    """
    if _ON_CARDS.isdisjoint(providers):
        return 0
    try:
        import pynvml

        pynvml.nvmlInit()
        cards = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
    except ImportError:
        log.info("memory of graphics cards is not watched: nvidia-ml-py is not installed")
        return 0
    except pynvml.NVMLError as error:
        log.info("memory of graphics cards is not watched: %s", error)
        return 0
    names = [str(number) for number in range(len(cards))]
    for name, field, text in (
        ("gpu_memory_used_bytes", "used", "Memory of a graphics card in use, by whomever."),
        ("gpu_memory_total_bytes", "total", "Memory that a graphics card has."),
    ):
        metrics.gauges(name, text, "gpu", names, partial(_memory, cards, field))
    return len(cards)


def _memory(cards: Sequence[Any], field: str, name: str) -> float:
    import pynvml

    try:
        return float(getattr(pynvml.nvmlDeviceGetMemoryInfo(cards[int(name)]), field))
    except pynvml.NVMLError:  # a card that fell off the bus; the model says so itself
        return float("nan")
