"""Names that the application package and the client share: fields, summaries, profiles, inputs.

The package's generator and the client both import this module, so that neither can drift from the
other. A document type holds one embedding version::

    schema item_<bundle version>
      item_id      string                  attribute, fast-search   the shop's id
      embedding    tensor<bfloat16>(x[D])  attribute, index         unit length before rounding
      embeddingInt8 tensor<int8>(x[D])     attribute, index         where a version's graph is over int8
      feed_ver     long                    attribute                order of our own, for conditions
      known_bools  weightedset<string>     attribute, fast-search   bool attributes that are not missing
      item_words   array<string>           index, bm25              where items are found by words
      itemFeatures tensor<int8>(b[2·E·d])  attribute, on disk       for histories, bytes of float16
      item_picture tensor<bfloat16>(x[P])  attribute, index         picture feature, absent without a picture
      <attribute>  string | double | bool | array<string>           see `field_name`

Vespa's ``bool`` has no missing value (it reads false), while a filter ``{"in_stock": false}`` must not
match an item that does not say; hence ``known_bools`` (a set, so that a partial update can add a name twice).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from artifacts.attributes import AttributeKind

NAMESPACE: Final = "mrse"
TYPE_PREFIX: Final = "item_"

ITEM_ID: Final = "item_id"
EMBEDDING: Final = "embedding"
FEED_VERSION: Final = "feed_ver"
KNOWN_BOOLS: Final = "known_bools"
WORDS: Final = "item_words"
PICTURE: Final = "item_picture"
#: Where the graph of a version is over int8, its vectors: `EMBEDDING` then has no graph, stays on disk, and
#: scores what the graph finds. No attribute's field has a capital letter.
COARSE: Final = "embeddingInt8"
#: Where a version keeps what a user's history uses of an item: float16, big-endian, a byte a cell, since
#: Vespa's own cells of 16 bits would round them.
FEATURES: Final = "itemFeatures"
FEATURES_DIMENSION: Final = "b"
#: Where a version keeps titles; no attribute's field has a capital letter.
TITLE: Final = "itemTitle"
OWN_FIELDS: Final = frozenset({ITEM_ID, EMBEDDING, FEED_VERSION, KNOWN_BOOLS, WORDS, PICTURE})
#: Stand for an item's texts, and for its picture feature, among its attributes: no attribute has such a name.
TEXTS: Final = ""
PICTURE_FEATURE: Final = "\0picture"
#: The same of what a history uses of it.
ITEM_FEATURES: Final = "\0features"
#: Those that are put with the vector, and never changed alone.
OF_THE_WHOLE: Final = frozenset({PICTURE_FEATURE, ITEM_FEATURES})
#: Name of the one dimension of `EMBEDDING` and of every query tensor.
DIMENSION: Final = "x"

#: Attribute-only summary classes: no summary is fetched from the document store.
SUMMARY_IDS: Final = "ids"  # item_id
SUMMARY_VECTORS: Final = "vectors"  # item_id, embedding, feed_ver
SUMMARY_VALUES: Final = "item_values"  # item_id, known_bools and every attribute
SUMMARY_FEATURES: Final = "item_features"  # item_id and `FEATURES`, where a version has them
SUMMARY_TITLES: Final = "item_titles"  # item_id and `TITLE`, where a version has it

#: The rank profile of a search: input `QUERY_TENSOR`, first phase closeness of `EMBEDDING`.
PROFILE_Q2I: Final = "q2i"
QUERY_TENSOR: Final = "q"
#: The rank profile of a search by words: first phase BM25 of `WORDS`.
PROFILE_LEXICAL: Final = "lexical"
#: The input with the same vector as int8, where the graph is over int8.
COARSE_TENSOR: Final = "c"
#: The profile of a search that also brings vectors: inputs `QUERY_TENSOR` and `HISTORY_TENSOR`. An item of
#: the history ranks `OWN` above its cosine, so that none is cut off, and twice that where the operator
#: labelled `NEAR_LABEL` did not find it, or not after the filters; the one labelled `HEAD_LABEL` finds the
#: items at the head.
PROFILE_FIRST: Final = "first"
HISTORY_TENSOR: Final = "history"
HEAD_LABEL: Final = "head"
NEAR_LABEL: Final = "near"
OWN: Final = 4.0
#: Vectors whose neighbours one query finds, at most; there is a profile for each number of them.
MAX_RELATED: Final = 8
#: All that a search selects.
MATCH_FEATURES: Final = "matchfeatures"
#: Match-features: the id as a label; the vector by the id, where it was wanted; cosines by the id.
ITEM_FEATURE: Final = "item"
VECTOR_FEATURE: Final = "vector"
COSINES_FEATURE: Final = "found"
#: Which rank profiles a package has, as its version files say: 1 has `PROFILE_Q2I` without match-features, 2
#: those of a far index, 3 `PROFILE_POPULAR` too, 4 a `PROFILE_FIRST` that tells by `NEAR_LABEL` which items
#: of a history the filters let pass.
PROFILES: Final = 4
#: The rank profile of a search by pictures: input `PICTURE_TENSOR`, first phase closeness of `PICTURE`.
PROFILE_P2I: Final = "p2i"
PICTURE_TENSOR: Final = "p"
#: The rank profile that lists items by `artifacts.popularity.POPULARITY`, where a version has it.
PROFILE_POPULAR: Final = "popular"
#: Most hits of one query, as the package's query profile allows (Vespa's own limit is 400).
MAX_HITS: Final = 10_000

#: Vespa's type of a field for each kind of attribute.
FIELD_TYPES: Final[Mapping[AttributeKind, str]] = MappingProxyType(
    {"string": "string", "number": "double", "bool": "bool", "list": "array<string>"}
)

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*\Z")
_NOT_PLAIN = re.compile(r"[^a-z0-9]")
_NOT_WORD = re.compile(r"[^A-Za-z0-9]")
_ESCAPED = "attr_"
#: Words of the schema language and of YQL, and names with a meaning of their own in a query.
_RESERVED = frozenset(
    (  # noqa: SIM905 -- a paragraph reads better than 80 lines
        "all and annotate as asc attribute background bm25 by closeness constant contains default desc "
        "distance documentid equiv false field fieldset from function group id import in index inherits "
        "input is join like limit match matches near nearest not null offset onear or order phrase position "
        "query rank relevance sddocname select similarity source sources summary summaryfeatures "
        "matchfeatures timeout true type uri value weight weightedset where with"
    ).split()
)


def related_profile(count: int) -> str:
    """The rank profile of a query for the neighbours of so many vectors."""
    return f"related{count}"


def trigger_tensor(number: int) -> str:
    """The input with the vector of that number, from 0."""
    return f"t{number}"


def coarse_tensor(number: int) -> str:
    """The input with that vector as int8, where the graph is over int8."""
    return f"c{number}"


def document_type(bundle_version: str) -> str:
    """The document type that holds the embeddings of one bundle version.

    Versions end in eight hex digits of their content, so two versions never share a type.
    """
    return TYPE_PREFIX + _NOT_WORD.sub("_", bundle_version).lower()


def field_name(attribute: str) -> str:
    """The Vespa field of a shop's attribute: its own name where Vespa and YQL allow it.

    Any other name becomes ``attr_`` and the name with every character that is no lower-case ASCII letter
    or digit written as ``_<hex>_``. Distinct attributes have distinct fields, also to Vespa's query side,
    which takes field names without regard to case.
    """
    plain = (
        _IDENTIFIER.match(attribute) is not None
        and attribute not in _RESERVED
        and attribute not in OWN_FIELDS
        and not attribute.startswith(_ESCAPED)
    )
    if plain:
        return attribute
    return _ESCAPED + _NOT_PLAIN.sub(lambda m: f"_{ord(m[0]):x}_", attribute)
