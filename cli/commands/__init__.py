"""A module for each command or group of commands; `cli.main` calls its ``register(app)``.

Every command has an example in its help, prints for people, and with ``--json`` one JSON object for machines.
"""
