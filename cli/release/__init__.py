"""``mrse release``: from a shop's files to a promoted bundle and index, in steps that a kill cannot spoil.

::

    plan         release.toml: what to train, what to compare, whom to ask
    state        one file: the steps of this release and how far they are, and the releases before
    commands     the steps that are `mrse` commands, each in a process of its own
    gate         whether the new bundle is no worse than the one that serves, from `mrse evaluate --against`
    exposition   what services tell of the arms on /metrics, added up over services and restarts
    guardrails   whether the canary does harm
    services     the services that run: reload, what they have loaded, the switch
    towers       control and canary in the service's configuration
    canary       the steps that touch traffic: canary, watch, promote, and taking a canary back
    begin        a new release, or the one that goes on; how one ended
    runner       does the steps in order, goes on where a killed release stopped

The configuration file of the service says what serves. A release changes nothing else: while it works, the
arm ``control`` is what served before, and ``canary`` what is new.
"""
