"""Settings: one TOML file and the environment, read once, frozen, and handed to the composition root.

Order: command line, then environment, then the TOML file, then the defaults below. An environment
variable is ``MRSE_<GROUP>_<KEY>``, such as ``MRSE_SERVER_PORT`` or ``MRSE_REDIS_URL``; the file's path is
``MRSE_CONFIG`` or ``--config``. A key that does not exist is an error that names it.
"""

from service.settings.groups import (
    Arm,
    BundleSettings,
    Cache,
    DeadlineSettings,
    Encoder,
    Experiments,
    IndexSettings,
    Limits,
    RedisSettings,
    Server,
    Tracing,
)
from service.settings.load import CONFIG_VARIABLE, SettingsError, effective, load_settings
from service.settings.tree import Settings

__all__ = [
    "CONFIG_VARIABLE",
    "Arm",
    "BundleSettings",
    "Cache",
    "DeadlineSettings",
    "Encoder",
    "Experiments",
    "IndexSettings",
    "Limits",
    "RedisSettings",
    "Server",
    "Settings",
    "SettingsError",
    "Tracing",
    "effective",
    "load_settings",
]
