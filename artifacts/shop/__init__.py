"""A shop's own files: catalogue and events as Parquet, CSV or JSONL, read in bounded memory.

A shop is a folder: ``shop.toml``, one items file, at most one events file, and a folder of pictures. The
files are ``items`` and ``events`` with one of the endings ``.parquet``, ``.csv``, ``.csv.gz``, ``.jsonl``,
``.jsonl.gz``, or as ``[files]`` of ``shop.toml`` names them.

| file | column | type | needed | what it holds |
|---|---|---|---|---|
| items | ``id`` | string | yes | 1 to 128 characters, unique; no control characters, no space at either end |
| items | ``title`` | string | this or ``picture`` | what the product is called |
| items | ``category`` | string | no | path from wide to narrow, ``Shoes > Running``; no empty level |
| items | ``description`` | string | no | any text |
| items | ``picture`` | string | this or ``title`` | JPEG or PNG, as a path inside the pictures folder |
| items | all ``[attributes]`` | as declared | column only | to filter by; lists are of non-empty strings |
| events | ``ts`` | time | yes | ISO 8601 or Parquet timestamp, UTC unless it has an offset; 1990 to now |
| events | ``item`` | string | yes | ``id`` of an item |
| events | ``action`` | string | yes | one of `artifacts.actions.ACTIONS` |
| events | ``query`` | string | one of the three | what was typed; empty when browsing |
| events | ``picture`` | string | one of the three | picture that was searched with, as in items |
| events | ``user`` | string | one of the three | who it was |
| events | ``relevance`` | number | no | label from 0 to 1, where somebody judged query and item |
| events | ``split`` | string | no | ``train``, ``val`` or ``test``; without it the newest are held out |

CSV: commas, a header line, UTF-8, an empty cell is a missing value, ``true``/``false``, lists with ``|``
between their strings. JSONL: one object a line, native types, null or no key is a missing value. Parquet:
native types. An empty string is a missing value in every format. A column that is neither here nor declared
is not read, and `mrse check` says so.

::

    shop         `Shop`: items, events and pictures, read strictly; the first fault raises `DataError`
    check        `check_shop`: the same files, read to the end; every fault is told
    writer       `ShopWriter`: writes a shop, whole or not at all
    schema       what the files hold: items, events, ``shop.toml``; `shop_toml` reads and writes it
    formats      which file is which; `csv_table`, `jsonl_table` and `parquet_table` read rows
    records      rows ─► items and events, by what `values` says is valid
    pictures     files of the pictures folder
    holdout      which events train and which are held out
    importers    public data sets ─► shops
"""
