"""What one request asks for beside its query, and what the settings say where it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from artifacts.attributes import CATEGORY, AttributeKind
from common.hints import meant
from index.port import TITLE
from service.errors import FieldError
from service.recall.boosts import Boost
from service.recall.diversity import Diversity
from service.recall.settings import Recall

#: Attributes that a request may have with its items.
MAX_FIELDS = 32


@dataclass(frozen=True, slots=True)
class Controls:
    """What a request asks for; None where it leaves it to the settings.

    Attributes:
        weights: of routes, by name; others keep that of their table.
        boosts: in place of the settings' boosts.
        diversity: in place of the settings' limit.
        fields: attributes to return with the items, and `TITLE`.
    """

    weights: Mapping[str, float] | None = None
    boosts: Sequence[Boost] | None = None
    diversity: Diversity | None = None
    fields: tuple[str, ...] = ()

    def wanted(self, options: Recall) -> Wanted:
        """What holds for the request."""
        return Wanted(
            options.boosts if self.boosts is None else self.boosts,
            options.diversity if self.diversity is None else self.diversity,
            self.fields,
        )


#: Of a request that asks for nothing.
NONE = Controls()


class Wanted(NamedTuple):
    """What holds for a request: its own controls, or the settings'."""

    boosts: Sequence[Boost]
    diversity: Diversity | None
    fields: tuple[str, ...]

    @property
    def attributes(self) -> list[str]:
        """The attributes that candidates are judged by, each once."""
        names = [boost.attribute for boost in self.boosts]
        if self.diversity is not None:
            names.append(self.diversity.attribute)
        return list(dict.fromkeys(names))

    def __bool__(self) -> bool:
        return bool(self.boosts or self.diversity or self.fields)


def check_controls(
    controls: Controls, attributes: Mapping[str, AttributeKind], readable: bool, titled: bool
) -> None:
    """Refuse controls that an index cannot take.

    Args:
        controls: of a request.
        attributes: of the index.
        readable: whether the index gives the attributes of its items.
        titled: whether it gives their titles.

    Raises:
        FieldError: names the field and says why.
    """
    for place, name in enumerate(controls.fields):
        if name == TITLE:
            if not titled:
                raise FieldError(
                    f"fields.{place}",
                    "this index holds no titles: run `mrse embed` and build it again; for Vespa, add the "
                    "next version with --titles",
                )
            continue
        check_attribute(f"fields.{place}", name, attributes, readable, beside=(TITLE,) if titled else ())
    for place, boost in enumerate(controls.boosts or ()):
        check_boost(f"boosts.{place}", boost, attributes, readable)
    if controls.diversity is not None:
        check_diversity("diversity", controls.diversity, attributes, readable)


def check_options(options: Recall, attributes: Mapping[str, AttributeKind], readable: bool) -> None:
    """As `check_controls`, of the boosts and the limit of the settings."""
    for place, boost in enumerate(options.boosts):
        check_boost(f"recall.boosts.{place}", boost, attributes, readable)
    if options.diversity is not None:
        check_diversity("recall.diversity", options.diversity, attributes, readable)


def check_boost(field: str, boost: Boost, attributes: Mapping[str, AttributeKind], readable: bool) -> None:
    """Raises `FieldError` unless the boost is by a declared attribute of numbers."""
    kind = check_attribute(f"{field}.attribute", boost.attribute, attributes, readable)
    if kind != "number":
        raise FieldError(f"{field}.attribute", f"{boost.attribute} is a {kind}; a boost needs a number")


def check_diversity(
    field: str, diversity: Diversity, attributes: Mapping[str, AttributeKind], readable: bool
) -> None:
    """Raises `FieldError` unless the limit is by a declared attribute of strings or numbers."""
    kind = check_attribute(f"{field}.attribute", diversity.attribute, attributes, readable)
    if diversity.attribute == CATEGORY or kind not in ("string", "number"):
        told = "a path" if diversity.attribute == CATEGORY else f"a {kind}"
        raise FieldError(
            f"{field}.attribute", f"{diversity.attribute} is {told}; a limit needs a string or a number"
        )


def check_attribute(
    field: str,
    name: str,
    attributes: Mapping[str, AttributeKind],
    readable: bool,
    beside: Sequence[str] = (),
) -> AttributeKind:
    """The kind of a declared attribute; raises `FieldError` where there is none, or it cannot be read.

    ``beside`` are names that the field may hold, too; they are told where the name is wrong.
    """
    if not readable:
        raise FieldError(field, "this engine does not give the attributes of its items")
    kind = attributes.get(name)
    if kind is None:
        names = sorted([*attributes, *beside])
        known, near = ", ".join(names) or "none", meant(name, names)
        raise FieldError(field, f"{name[:64]!r} is not an attribute of this index; known are {known}{near}")
    return kind
