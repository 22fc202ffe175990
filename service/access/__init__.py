"""Who may what: keys, what they are good for, how much they may ask, and what was changed by whom.

::

    keyfile   the file of keys: a name, scopes, the digest of the secret, a rate, a quota, an expiry date
    keyring   the keys that are good now; follows the file
    token     the admin token; follows its file, where it stands in one
    following how files are followed
    rates     requests a second of each key
    quotas    requests a day of each key
    guesses   wrong keys by address: slows whoever tries many
    ports     which port a call is answered on
    guard     one request: whose is it, and may it go on
    audit     the file of changes: who, what, when, and how it ended
"""
