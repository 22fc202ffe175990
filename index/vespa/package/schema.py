"""The schema of a version's document type: fields, summaries and rank profiles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Final

from artifacts.attributes import AttributeKind
from artifacts.popularity import POPULARITY
from index.vespa import names
from index.vespa.package.template import template
from index.vespa.version import VectorKind, Version

#: Options of a field beside its type. Strings come casefolded from feed and query alike, so they are
#: compared as they are; a hash dictionary serves equality in less memory than a B-tree and needs ``cased``.
_STRINGS = """
            attribute: fast-search
            match: cased
            dictionary {
                hash
                cased
            }"""
_OPTIONS: Final[dict[AttributeKind, str]] = {
    "string": _STRINGS,
    "list": _STRINGS,
    "number": "\n            attribute: fast-search",
    "bool": "",  # a bit vector already: fast-search does not exist for it
}
#: What a hit of the profile of a search is worth: of the graph over int8 only what it finds counts.
_CLOSENESS: Final[dict[VectorKind, str]] = {
    "bfloat16": f"closeness(field, {names.EMBEDDING})",
    "int8": f"1 / (2 - sum(query({names.QUERY_TENSOR}) * attribute({names.EMBEDDING})))",
}


def render_schema(version: Version) -> str:
    """The schema of a version's document type."""
    attribute = template("attribute.sd")
    attributes = "".join(
        attribute.substitute(
            name=names.field_name(name), type=names.FIELD_TYPES[kind], options=_OPTIONS[kind]
        )
        for name, kind in version.attributes.items()
    )
    return template("item.sd").substitute(
        type=version.document_type,
        dimension_name=names.DIMENSION,
        dimension=version.dimension,
        embedding=_embedding(version),
        coarse_input=_coarse_inputs(version, [names.COARSE_TENSOR]),
        closeness=_CLOSENESS[version.vectors],
        attributes=attributes,
        summaries="".join(f"        summary {names.field_name(name)} {{}}\n" for name in version.attributes),
        words="" if version.texts is None else template("words.sd").substitute(name=names.WORDS),
        profiles="" if version.texts is None else _profile(),
        picture_field=_title("title.sd", version) + _picture("picture.sd", version) + _features(version),
        title_summary=_title("title-summary.sd", version) + _features_summary(version),
        more_profiles=_picture("picture-profile.sd", version) + _popular(version),
        first=names.OWN,
        head=names.HEAD_LABEL,
        near=names.NEAR_LABEL,
        related="".join(_related(count, version) for count in range(1, names.MAX_RELATED + 1)),
    )


def _embedding(version: Version) -> str:
    """The field of the embedding, and the one that its graph is over."""
    file = "embedding.sd" if version.vectors == "bfloat16" else "embedding-int8.sd"
    return template(file).substitute(
        dimension_name=names.DIMENSION, dimension=version.dimension, **_coarse(version)
    )


def _coarse(version: Version) -> dict[str, str]:
    return {"coarse": names.COARSE} if version.vectors == "int8" else {}


def _coarse_inputs(version: Version, tensors: Sequence[str]) -> str:
    """The lines of the inputs that the graph is searched by, where it is over int8."""
    if version.vectors != "int8":
        return ""
    shape = f"{names.DIMENSION}[{version.dimension}]"
    return "".join(f"            query({name}) tensor<int8>({shape})\n" for name in tensors)


def _related(count: int, version: Version) -> str:
    """The rank profile for the neighbours of so many vectors."""
    dimension = version.dimension
    cosine = f"sum(query({{}}) * attribute({names.EMBEDDING}))"
    inputs = [names.trigger_tensor(number) for number in range(count)]
    cosines = [cosine.format(name) for name in (names.QUERY_TENSOR, *inputs)]
    shape = f"{names.DIMENSION}[{dimension}]"
    return template("related.sd").substitute(
        count=count,
        name=names.related_profile(count),
        dimension_name=names.DIMENSION,
        dimension=dimension,
        inputs="".join(f"            query({name}) tensor<float>({shape})\n" for name in inputs)
        + _coarse_inputs(version, [names.coarse_tensor(number) for number in range(count)]),
        best=reduce("max({}, {})".format, cosines[1:]),
        cosines=reduce("concat({}, {}, t)".format, cosines),
    )


def _profile() -> str:
    return template("words-profile.sd").substitute(name=names.WORDS, profile=names.PROFILE_LEXICAL)


def _picture(file: str, version: Version) -> str:
    if not version.picture_dim:
        return ""
    return template(file).substitute(
        name=names.PICTURE,
        profile=names.PROFILE_P2I,
        tensor=names.PICTURE_TENSOR,
        dimension_name=names.DIMENSION,
        dimension=version.picture_dim,
    )


def _title(file: str, version: Version) -> str:
    if not version.titles:
        return ""
    return template(file).substitute(name=names.TITLE, item=names.ITEM_ID, summary=names.SUMMARY_TITLES)


def _features(version: Version) -> str:
    if version.features is None:
        return ""
    experts, width = version.features
    dimension = names.FEATURES_DIMENSION
    return template("features.sd").substitute(
        name=names.FEATURES, dimension_name=dimension, bytes=2 * experts * width
    )


def _features_summary(version: Version) -> str:
    if version.features is None:
        return ""
    summary = names.SUMMARY_FEATURES
    return template("title-summary.sd").substitute(name=names.FEATURES, item=names.ITEM_ID, summary=summary)


def _popular(version: Version) -> str:
    if not version.popular:
        return ""
    field = names.field_name(POPULARITY)
    return template("popular-profile.sd").substitute(name=field, profile=names.PROFILE_POPULAR)
