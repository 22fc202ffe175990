"""The application package that a Vespa engineer would deploy, rendered from ``vespa_app/``.

::

    layout        which hosts do what
    render        versions and a layout in, a package out
      schema        the document type of a version
      services      what runs where
      template      the files that both fill
    rules         what an edited package may get wrong, asked before a deployment; `rules_xml` of XML
    diff          what it would change of what is deployed
    deploy        the package to a config server
    verdict       what `mrse vespa verify` found of a version, which `switch` asks for

A folder holds the package and, beside it, what the client must know of each version::

    <folder>/application/    deployed: services.xml, hosts.xml, schemas/, search/query-profiles/
    <folder>/versions/       not deployed: <document type>.json
    <folder>/layout.toml     not deployed: the hosts that it was rendered for
    <folder>/feeds/          not deployed: <document type>.db, changes since the last folder
    <folder>/verdicts/       not deployed: <document type>.json

A new bundle version is a new document type (blue and green side by side), never a changed field.
"""
