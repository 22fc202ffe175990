"""What every package may use and no package owns; it imports none of them.

::

    arrays       names of array types, by kind and bytes
    errors       `MrseError`, the base of every error that a person can mend, and its exit code
    progress     how long work tells how far it is
    files        a file is written beside its place and then takes it
    deadline     one deadline for a whole request
    lru          least recently used goes first
    breaker      stop asking what keeps failing
    moments      moments as ISO 8601
    masking      hide passwords in addresses
    metrics      what the Prometheus metrics of all processes have in common
    schema       pieces of pydantic schemas: strings that a registry limits, fields that may be left out
    extensions   modules of a team's own that register routes, engines, experts, actions or measures
"""
