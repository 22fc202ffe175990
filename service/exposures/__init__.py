"""The exposure log: what was shown to whom, off the request's path.

::

    log       takes an exposure when its answer is on its way, bounded; a thread writes them
    event     an exposure as an event, a line of JSON (`artifacts.exposures` says its fields)
    sinks     where events go: JSON lines, Parquet, a Redis Stream
"""

from service.exposures.event import Exposure
from service.exposures.log import ExposureLog

__all__ = ["Exposure", "ExposureLog"]
