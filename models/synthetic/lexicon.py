"""The words, colours and kinds of things that the synthetic shop is made of.

Every attribute value is a code (its place in a tuple here) with the words that people use for it, the
usual one first. Words of attributes that only a picture shows (`PATTERNS`, `LOGOS`) occur in queries and
in no text of an item.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Leaf:
    """A category of the second level: path, nouns, materials, sizes and a medium price."""

    top: str
    name: str
    nouns: tuple[str, ...]
    materials: tuple[str, ...]
    sizes: tuple[str, ...]
    price: float

    @property
    def path(self) -> str:
        """The category path, as in ``Shoes > Boots``."""
        return f"{self.top} > {self.name}"


@dataclass(frozen=True, slots=True)
class Term:
    """An attribute value: its name in the ground truth and the words for it, the usual one first."""

    name: str
    words: tuple[str, ...]


_FOOT = ("leather", "suede", "canvas", "mesh", "nubuck")
_CLOTH = ("cotton", "linen", "wool", "polyester", "bamboo")
_TABLE = ("ceramic", "porcelain", "stoneware", "enamel", "melamine")
_BAG = ("leather", "canvas", "nylon", "polyester", "cork")
_HOME = ("cotton", "linen", "velvet", "wool", "jute")
_HARD = ("ceramic", "brass", "oak", "concrete", "resin")
_SHOE_SIZES = tuple(f"size {n}" for n in range(36, 47))
_CLOTH_SIZES = ("XS", "S", "M", "L", "XL", "XXL")
_VOLUMES = ("250 ml", "350 ml", "500 ml", "750 ml", "1 l")
_LENGTHS = ("20 cm", "25 cm", "30 cm", "40 cm", "45 cm", "60 cm")

#: Leaves of the category tree; those of one top category stand together.
CATEGORIES: tuple[Leaf, ...] = (
    Leaf("Shoes", "Running Shoes", ("running shoes", "trainers", "sneakers"), _FOOT, _SHOE_SIZES, 85),
    Leaf("Shoes", "Boots", ("boots", "booties", "winter boots"), _FOOT, _SHOE_SIZES, 110),
    Leaf("Shoes", "Heels", ("heels", "high heels", "stilettos"), _FOOT, _SHOE_SIZES, 75),
    Leaf("Clothing", "T-Shirts", ("t-shirt", "tee", "tshirt"), _CLOTH, _CLOTH_SIZES, 22),
    Leaf("Clothing", "Dresses", ("dress", "gown", "frock"), _CLOTH, _CLOTH_SIZES, 60),
    Leaf("Clothing", "Trousers", ("trousers", "pants", "slacks"), _CLOTH, _CLOTH_SIZES, 48),
    Leaf("Clothing", "Socks", ("socks", "crew socks", "long socks"), _CLOTH, _SHOE_SIZES, 9),
    Leaf("Clothing", "Caps", ("cap", "baseball cap", "hat"), _CLOTH, _CLOTH_SIZES, 19),
    Leaf("Kitchen", "Mugs", ("mug", "coffee cup", "cup"), _TABLE, _VOLUMES, 12),
    Leaf("Kitchen", "Plates", ("plate", "dinner plate", "dish"), _TABLE, _LENGTHS, 11),
    Leaf("Kitchen", "Bottles", ("water bottle", "flask", "drinking bottle"), _TABLE, _VOLUMES, 21),
    Leaf("Kitchen", "Teapots", ("teapot", "tea pot", "tea kettle"), _TABLE, _VOLUMES, 34),
    Leaf("Bags", "Backpacks", ("backpack", "rucksack", "school bag"), _BAG, ("15 l", "20 l", "30 l"), 65),
    Leaf("Bags", "Handbags", ("handbag", "purse", "shoulder bag"), _BAG, _LENGTHS, 80),
    Leaf("Home", "Cushions", ("cushion", "throw pillow", "sofa pillow"), _HOME, _LENGTHS, 18),
    Leaf("Home", "Lamps", ("table lamp", "lamp", "desk light"), _HARD, _LENGTHS, 55),
    Leaf("Home", "Vases", ("vase", "flower vase", "tall pot"), _HARD, _LENGTHS, 28),
    Leaf("Accessories", "Umbrellas", ("umbrella", "brolly", "parasol"), _BAG, _LENGTHS, 24),
    Leaf("Accessories", "Ties", ("tie", "necktie", "neck tie"), _CLOTH, ("slim", "regular", "wide"), 26),
    Leaf("Accessories", "Phone Cases", ("phone case", "phone cover", "mobile cover"), _BAG, (), 17),
)

TOPS: tuple[str, ...] = tuple(dict.fromkeys(leaf.top for leaf in CATEGORIES))
#: Queries for a whole top category.
TOP_WORDS: tuple[tuple[str, ...], ...] = (
    ("shoes", "footwear"),
    ("clothing", "clothes"),
    ("kitchenware", "tableware"),
    ("bags", "bag"),
    ("home decor", "decoration"),
    ("accessories", "small gifts"),
)

COLOURS: tuple[Term, ...] = (
    Term("red", ("red", "scarlet")),
    Term("orange", ("orange", "tangerine")),
    Term("yellow", ("yellow", "lemon")),
    Term("green", ("green", "emerald")),
    Term("turquoise", ("turquoise", "teal")),
    Term("blue", ("blue", "cobalt")),
    Term("purple", ("purple", "violet")),
    Term("pink", ("pink", "rose")),
    Term("brown", ("brown", "chestnut")),
    Term("black", ("black", "ebony")),
    Term("white", ("white", "ivory")),
    Term("grey", ("grey", "gray")),
)

PATTERNS: tuple[Term, ...] = (
    Term("plain", ("plain", "solid colour")),
    Term("stripes", ("striped", "stripy")),
    Term("dots", ("polka dot", "dotted", "spotted")),
    Term("checks", ("checked", "checkered", "gingham")),
    Term("zigzag", ("zigzag", "chevron")),
    Term("gradient", ("gradient", "ombre")),
    Term("camouflage", ("camo", "camouflage")),
)

#: Code 0 is no logo; nobody searches for that.
LOGOS: tuple[Term, ...] = (
    Term("none", ()),
    Term("star", ("star logo", "star", "star print")),
    Term("heart", ("heart logo", "heart", "heart print")),
    Term("moon", ("moon logo", "moon", "crescent")),
    Term("bolt", ("lightning logo", "lightning", "lightning bolt")),
    Term("cross", ("cross logo", "cross", "plus sign")),
    Term("ring", ("ring logo", "ring", "circle logo")),
    Term("triangle", ("triangle logo", "triangle", "triangle print")),
    Term("crown", ("crown logo", "crown", "crown print")),
)

#: Price factor of a brand's level: cheap, medium, dear.
BRAND_FACTORS: tuple[float, float, float] = (0.6, 1.0, 1.8)
#: Made-up brands; the level of brand n is n mod 3, its top categories come from n too.
BRANDS: tuple[str, ...] = (
    "Alderly", "Briskon", "Cavello", "Dornik", "Elvane", "Fjorda", "Grevo", "Hallin", "Istria", "Jorvik",
    "Kelmar", "Lunaro", "Moxley", "Norrby", "Oslen", "Pevril", "Quilla", "Rovano", "Sundal", "Tavira",
    "Ulmer", "Vasko", "Wexham", "Xandro", "Yelland", "Zorani", "Amberic", "Bolvar", "Corvane", "Delmas",
)  # fmt: skip

MODELS: tuple[str, ...] = (
    "Aero", "Terra", "Nova", "Vento", "Lumo", "Kairo", "Zephyr", "Alto", "Brio", "Cielo", "Dune", "Ember",
    "Fable", "Gale", "Indra", "Juno", "Kestrel", "Lyra", "Metro", "Nimbus", "Orbit", "Pioneer", "Quest",
    "Rally", "Summit", "Tempo", "Urban", "Vista", "Willow", "Xeno", "Yara", "Zenith", "Atlas", "Coda",
    "Delta", "Echo",
)  # fmt: skip
MODELS_PER_BRAND = 12

MATERIALS: tuple[str, ...] = tuple(dict.fromkeys(m for leaf in CATEGORIES for m in leaf.materials))
TAGS: tuple[str, ...] = ("gift", "outdoor", "office", "travel", "summer", "winter", "sale", "handmade")


def top_of(category: int) -> int:
    """Code of the top category that a leaf belongs to."""
    return TOPS.index(CATEGORIES[category].top)


def brands_of(category: int) -> tuple[int, ...]:
    """Codes of the brands that make this category: ten, of all three price levels."""
    top = top_of(category)
    return tuple(b for b in range(len(BRANDS)) if (b // 3 + top) % 3 == 0)


def models_of(brand: int) -> tuple[int, ...]:
    """Codes of the model names that a brand uses."""
    return tuple((brand * 5 + k * 3) % len(MODELS) for k in range(MODELS_PER_BRAND))
