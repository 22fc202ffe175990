"""The table ``[texts]`` of ``shop.toml``: what items are found by, word for word, and in which language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from json import dumps

from artifacts.attributes import AttributeKind
from artifacts.shop.schema import TEXT_COLUMNS, ShopSchema
from artifacts.shop.values import shown
from artifacts.words import languages

_DEFAULT = ShopSchema("")
#: Columns that may be named: an item's words are those of all its texts, and each column costs a look.
MAX_COLUMNS = 32


def read_texts(
    table: Mapping[str, object],
    attributes: Mapping[str, AttributeKind],
    fault: Callable[[str, str], None],
) -> tuple[tuple[str, ...], str]:
    """The columns beside title and category, and the language; defaults stand in for what is faulty.

    Args:
        table: the table as it was parsed.
        attributes: the attributes that the shop declares.
        fault: told the key that is wrong, and what is expected.
    """
    columns, language = _DEFAULT.texts, _DEFAULT.language
    for key, value in table.items():
        if key == "language":
            if isinstance(value, str) and value in languages():
                language = value
            else:
                fault(key, f"is {shown(value)}, expected one of {', '.join(languages())}")
        elif key != "columns":
            fault(key, "is no key of [texts], expected columns, language")
        elif not isinstance(value, list) or len(value) > MAX_COLUMNS:
            fault(key, f"is {shown(value)}, expected a list of at most {MAX_COLUMNS} columns")
        else:
            wrong = [each for each in value if not _is_text(each, attributes)]
            for each in wrong[:1]:
                fault(key, f"names {shown(each)}, expected description or a declared string or list")
            if not wrong:
                columns = tuple(dict.fromkeys(each for each in value if each not in TEXT_COLUMNS))
    return columns, language


def _is_text(name: object, attributes: Mapping[str, AttributeKind]) -> bool:
    if not isinstance(name, str):
        return False
    return name in (*TEXT_COLUMNS, "description") or attributes.get(name) in ("string", "list")


def render_texts(schema: ShopSchema) -> list[str]:
    """The lines of the table, none where it says what is so without it."""
    lines = []
    if schema.texts != _DEFAULT.texts:
        lines.append(f"columns = {dumps(list(schema.texts), ensure_ascii=False)}")
    if schema.language != _DEFAULT.language:
        lines.append(f"language = {dumps(schema.language)}")
    return ["", "[texts]", *lines] if lines else []
