"""Embed-Producer: fills Redis ahead of the requests, with query experts, user portraits and item features.

Every key carries the bundle version, so a new bundle is warmed beside the one that serves, with the same
commands. Kill any of them at any time: started again, it goes on where it stopped.
"""
