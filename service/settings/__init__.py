"""Settings: one TOML file and the environment, read once, frozen, and handed to the composition root.

::

    groups    what a group is, and those of one table each, such as ``[bundle]`` and ``[index]``
    server    ``[server]``, ``[access]``, ``[connections]``: how the service is reached
    limits    ``[limits]``, ``[deadline]``: how much requests may ask for, and how long they may take
    caches    ``[cache]``, ``[redis]``
    taking    those of items by content and of events
    exposing  that of the log of what was shown to whom
    assigning   those that say who takes part in experiments
    tree      all groups together, with a table for each engine and each route that is registered
    load      reads them, and says which key of which file or variable is wrong
    secret_files   secrets in files of their own, ``MRSE_<GROUP>_<KEY>_FILE``
    rewriting   changes the file: what is not changed stays as somebody wrote it
    weights   changes the weights and arms of an experiment in it

The command line wins over the environment, that over the file, and that over the defaults. An environment
variable is ``MRSE_<GROUP>_<KEY>``, such as ``MRSE_SERVER_PORT``, or ``MRSE_RECALL_<ROUTE>_<KEY>``; the file's
path is ``MRSE_CONFIG`` or ``--config``. With ``_FILE`` behind it, the variable of a secret names a file that
holds it. A key that does not exist is an error that names it.
"""

from service.settings.assigning import AssignmentSettings
from service.settings.caches import Cache, RedisSettings
from service.settings.groups import (
    Arm,
    BundleSettings,
    Encoder,
    Experiments,
    IndexSettings,
    Playground,
    Tracing,
)
from service.settings.limits import DeadlineSettings, Limits
from service.settings.load import CONFIG_VARIABLE, SettingsError, effective, load_settings
from service.settings.server import Access, Scope, Server
from service.settings.taking import Events, Items
from service.settings.tree import Settings

__all__ = [
    "CONFIG_VARIABLE",
    "Access",
    "Arm",
    "AssignmentSettings",
    "BundleSettings",
    "Cache",
    "DeadlineSettings",
    "Encoder",
    "Events",
    "Experiments",
    "IndexSettings",
    "Items",
    "Limits",
    "Playground",
    "RedisSettings",
    "Scope",
    "Server",
    "Settings",
    "SettingsError",
    "Tracing",
    "effective",
    "load_settings",
]
