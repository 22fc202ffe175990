"""Business controls: what a shop wants of an answer beside that it fits the query.

::

    asked       what one request asks for, and what the settings say where it does not
    rules       pins and bans by query: what a rule is, and the file of them
    rulebook    the file as it is now, in every worker
    plan        what is to be done to a request, and what became of it
    values      attributes of items, read once a request
    fields      what an answer tells of its items
    apply       puts all of it to the candidates of the routes

Beside it `service.recall.boosts` and `service.recall.diversity` say what these are, for the settings too. A
request that asks for none of it, with no settings that do, never comes here.
"""
