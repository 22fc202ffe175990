"""The application package that a Vespa engineer would deploy, rendered from ``vespa_app/``.

::

    layout        which hosts do what
    versions      the embedding versions of a package, one file each
    render        versions and a layout in, a package out; `templates` finds ``vespa_app/``
    rules         what an edited package may get wrong, asked before a deployment; `rules_xml` of XML
    deploy        the package to a config server

A folder holds the package and, beside it, what the client must know of each version::

    <folder>/application/    deployed: services.xml, hosts.xml, schemas/, search/query-profiles/
    <folder>/versions/       not deployed: <document type>.json
    <folder>/layout.toml     not deployed: the hosts that it was rendered for

A new bundle version is a new document type (blue and green side by side), never a changed field.
"""

from index.vespa.package.layout import Layout, LayoutError, Tls
from index.vespa.package.render import (
    add_version,
    application_folder,
    drop_version,
    read_layout,
    render,
)
from index.vespa.package.rules import Problem, check_package
from index.vespa.package.versions import find_version, read_versions
from index.vespa.version import Version, VersionError

__all__ = [
    "Layout",
    "LayoutError",
    "Problem",
    "Tls",
    "Version",
    "VersionError",
    "add_version",
    "application_folder",
    "check_package",
    "drop_version",
    "find_version",
    "read_layout",
    "read_versions",
    "render",
]
