"""A module for each command or group of commands; `cli.main` names each command's function.

Every command has an example in its help, prints for people, and with ``--json`` one JSON object for machines.
"""
