"""Text queries for the grocery products: what a shopper might type, and the products that answer it.

The data set has photos but no searches, so these are derived from names, categories, brands and
descriptions, by rules and stable hashes alone: the same products always give the same queries. Where two
rules make the same query, the earlier one in `_RULES` says which products answer it. Nobody typed these
queries: figures measured on them tell whether the model has learnt its catalogue, not how shoppers search.
*Inferred*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from artifacts.shop.importers.sources import stable_share

#: Share of the query texts that is held out.
VAL_SHARE = 0.2
#: Phrases of its description that a product gets at most, and products that may share a phrase.
PHRASES_A_PRODUCT = 16
PRODUCTS_A_PHRASE = 4
PHRASE_WORDS = (2, 5)

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_ADJECTIVES = frozenset(
    _WORD.findall(
        """green red yellow orange white brown pink purple violet black golden light dark small large big
        round oval sweet sour tart fresh ripe juicy crispy organic ecological natural creamy mild firm
        soft"""
    )
)
_STOP_WORDS = frozenset(
    _WORD.findall(
        """a about all also although always an and are as at be been best both but by called can comes do
        does eat eaten either etc even extra for from gives good great has have if in is it its just
        kind made mainly makes making many may more most much need needed never nice not occurs of often
        on one only or other out part parts preferably quite rather really should so some suitable such
        than that the their then there these they this those though to used uses using usually varieties
        variety very want was well what when whenever where which whole with without you your"""
    )
)
#: The only stop words within a phrase, so that no phrase is half a sentence.
_JOINING = frozenset(("and", "for", "in", "of", "with"))
#: Words whose plural or singular nobody types.
_MASS = frozenset(
    _WORD.findall(
        """milk juice cream yoghurt soyghurt oatghurt garlic ginger asparagus cabbage smooth morning gala
        delicious citrus"""
    )
)
_SPELLINGS = MappingProxyType({"yoghurt": "yogurt", "ecological": "organic", "aubergine": "eggplant"})
_ALIAS = re.compile(r"\bor ([a-z ]+?),? as it is also called|\balso called ([a-z ]+)")


@dataclass(frozen=True, slots=True)
class Product:
    """What the queries are derived from; ``brand`` as the maker writes it, or empty."""

    id: str
    title: str
    category: str
    description: str
    brand: str


@dataclass(frozen=True, slots=True)
class TextQuery:
    """A query, the products that answer it and whether they answer it exactly (else they just mention it)."""

    text: str
    products: tuple[str, ...]
    exact: bool
    split: str


Found: TypeAlias = Iterator[tuple[str, str]]


def text_queries(products: Iterable[Product]) -> list[TextQuery]:
    """Queries in alphabetical order, each text once, so that no ``val`` text is a ``train`` text."""
    shelf = list(products)
    answers: dict[str, tuple[tuple[str, ...], bool]] = {}
    for rule, exact in _RULES:
        found: dict[str, set[str]] = {}
        for text, product in rule(shelf):
            found.setdefault(text, set()).add(product)
        for text, holders in found.items():
            answers.setdefault(text, (tuple(sorted(holders)), exact))
    nouns = {_singular(_words(product.category)[-1]) for product in shelf}
    for text, (ids, exact) in list(answers.items()):
        if exact:
            for variant in _variants(text, nouns):
                answers.setdefault(variant, (ids, True))
    return [
        TextQuery(text, ids, exact, "val" if stable_share(text) < VAL_SHARE else "train")
        for text, (ids, exact) in sorted(answers.items())
    ]


def _names_with_category(product: Product) -> Iterator[str]:
    """As in "granny smith apple", where the name does not say what it is."""
    if not set(_words(product.category)) <= set(_words(product.title)):
        yield f"{product.title} {product.category}".lower()


def _brands(product: Product) -> Iterator[str]:
    if brand := _spoken_brand(product):
        yield brand
        yield f"{brand} {product.category}".lower()


def _described_categories(product: Product) -> Iterator[str]:
    """Adjectives before the category's noun, as in "is a green apple"; comparisons are cut off."""
    noun = _singular(_words(product.category)[-1])
    for sentence in _sentences(f"{product.title}. {product.description}"):
        words = [_singular(word) for word in _words(sentence.split(" than ")[0])]
        for place, word in enumerate(words):
            first = place
            while word == noun and first > 0 and words[first - 1] in _ADJECTIVES and place - first < 3:
                first -= 1
                yield " ".join(words[first : place + 1])


def _aliases(product: Product) -> Iterator[str]:
    for match in _ALIAS.finditer(product.description.lower()):
        yield (match[1] or match[2]).strip()


def _parts_of_names(shelf: list[Product]) -> Found:
    """Words and runs of words of a name; every product whose name has all of them answers."""
    bags = {product.id: set(_words(product.title)) for product in shelf}
    for product in shelf:
        words = _words(product.title)
        for size in range(1, len(words)):
            for start in range(len(words) - size + 1):
                run = words[start : start + size]
                for other, bag in bags.items():
                    if bag.issuperset(run):
                        yield " ".join(run), other


def _phrases(shelf: list[Product]) -> Found:
    """Phrases of descriptions that few products share, chosen by a stable hash."""
    holders: dict[str, set[str]] = {}
    for product in shelf:
        for phrase in _phrases_of(product.description):
            holders.setdefault(phrase, set()).add(product.id)
    for product in shelf:
        own = {
            phrase for phrase in _phrases_of(product.description) if len(holders[phrase]) <= PRODUCTS_A_PHRASE
        }
        for phrase in sorted(own, key=lambda text: stable_share("phrase " + text))[:PHRASES_A_PRODUCT]:
            yield from ((phrase, holder) for holder in holders[phrase])


def _each(rule: Callable[[Product], Iterable[str]]) -> Callable[[list[Product]], Found]:
    return lambda shelf: ((text, product.id) for product in shelf for text in rule(product))


#: The rules, and whether their answers are exact: the first rule that makes a query says who answers it.
_RULES: tuple[tuple[Callable[[list[Product]], Found], bool], ...] = (
    (_each(lambda product: [product.category.lower()]), True),
    (_each(lambda product: [product.title.lower()]), True),
    (_each(_names_with_category), True),
    (_each(_brands), True),
    (_each(_described_categories), True),
    (_each(_aliases), True),
    (_parts_of_names, True),
    (_phrases, False),
)


def _variants(text: str, nouns: set[str]) -> Iterator[str]:
    """The other number of a last word that names a category, other spellings, and one typing error."""
    words = text.split()
    last = words[-1]
    if _singular(last) in nouns:
        yield " ".join([*words[:-1], _plural(last) if _singular(last) == last else _singular(last)])
    yield " ".join(_SPELLINGS.get(word, word) for word in words)
    yield _typo(text)


def _typo(text: str) -> str:
    """One letter of the longest word swapped with the next, left out or doubled; short words stay."""
    words = text.split()
    place = max(range(len(words)), key=lambda index: len(words[index]))
    word = words[place]
    if len(word) < 4:
        return text
    at = 1 + int(stable_share("place " + text) * (len(word) - 2))
    typed: Mapping[int, str] = {
        0: word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        1: word[:at] + word[at + 1 :],
        2: word[:at] + word[at] + word[at:],
    }
    words[place] = typed[int(stable_share("kind " + text) * 3)]
    return " ".join(words)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _sentences(text: str) -> list[str]:
    return re.split(r"[.!?;:,()/–-]+", text.lower())


def _phrases_of(description: str) -> set[str]:
    phrases: set[str] = set()
    for sentence in _sentences(description):
        words = _words(sentence.split(" than ")[0])
        for size in range(PHRASE_WORDS[0], PHRASE_WORDS[1] + 1):
            for start in range(len(words) - size + 1):
                run = words[start : start + size]
                if (
                    run[0] not in _STOP_WORDS
                    and run[-1] not in _STOP_WORDS
                    and _JOINING.issuperset(word for word in run if word in _STOP_WORDS)
                ):
                    phrases.add(" ".join(run))
    return phrases


def _spoken_brand(product: Product) -> str:
    """The words of the brand that the name begins with: "arla" of ARLA KO on Arla Sour Cream."""
    brand, title = _words(product.brand), _words(product.title)
    size = 0
    while size < min(len(brand), len(title)) and brand[size] == title[size]:
        size += 1
    return " ".join(brand[:size])


def _singular(word: str) -> str:
    if word in _MASS or len(word) < 4:
        return word
    for ending, stem in (("ies", "y"), ("ches", "ch"), ("oes", "o"), ("ss", "ss"), ("us", "us"), ("s", "")):
        if word.endswith(ending):
            return word[: -len(ending)] + stem
    return word


def _plural(word: str) -> str:
    if word in _MASS:
        return word
    if word.endswith(("o", "ch", "sh", "s", "x")) and word not in ("avocado", "kiwi"):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeou":
        return word[:-1] + "ies"
    return word + "s"
