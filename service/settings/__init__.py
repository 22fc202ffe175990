"""Settings: one TOML file and the environment, read once, frozen, and handed to the composition root.

::

    groups    the groups, such as ``[server]`` and ``[limits]``: every key and its default
    taking    those of items by content and of events
    tree      all groups together, with a table for each engine and each route that is registered
    load      reads them, and says which key of which file or variable is wrong
    secret_files   secrets in files of their own, ``MRSE_<GROUP>_<KEY>_FILE``
    weights   rewrites the weights of an experiment in the file

The command line wins over the environment, that over the file, and that over the defaults. An environment
variable is ``MRSE_<GROUP>_<KEY>``, such as ``MRSE_SERVER_PORT``, or ``MRSE_RECALL_<ROUTE>_<KEY>``; the file's
path is ``MRSE_CONFIG`` or ``--config``. With ``_FILE`` behind it, the variable of a secret names a file that
holds it. A key that does not exist is an error that names it.
"""

from service.settings.assigning import AssignmentSettings
from service.settings.groups import (
    Access,
    Arm,
    BundleSettings,
    Cache,
    DeadlineSettings,
    Encoder,
    Experiments,
    IndexSettings,
    Limits,
    Playground,
    RedisSettings,
    Scope,
    Server,
    Tracing,
)
from service.settings.load import CONFIG_VARIABLE, SettingsError, effective, load_settings
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
