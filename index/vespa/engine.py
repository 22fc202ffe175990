"""The Vespa engine, as the registry knows it; the client is loaded when an index is opened."""

from __future__ import annotations

from pathlib import Path

from index.engine import Engine, IndexOpenError, OpenedIndex
from index.vespa.table import VespaConnection

_NO_CHANGES = "set vespa.changes where the package folder is the one that Vespa is fed from"


class VespaEngine(Engine[VespaConnection]):
    """One version of a Vespa application. Item features come from it where it keeps them, else from Redis."""

    name = "vespa"
    settings = VespaConnection
    preload = ("index.vespa.joined", "index.vespa.version")

    def open(self, path: Path, settings: VespaConnection, *, queue: int) -> OpenedIndex:
        """The client of one version; nothing is sent yet, `OpenedIndex.check` does that.

        ``path`` is what ``mrse vespa add-version`` wrote beside the package, ``versions/<type>.json``;
        ``queue`` is of no use here, Vespa has its own.

        Raises:
            IndexOpenError: no address, no such file, or settings that do not go together.
        """
        if settings.url is None:
            raise IndexOpenError(
                "no Vespa: set MRSE_VESPA_URL, or url under [vespa] in the configuration file"
            )
        from index.vespa.client import VespaIndex
        from index.vespa.joined import JoinedVespaIndex
        from index.vespa.settings import EndpointSettings, SearchSettings, ShadowSettings, VespaSettings
        from index.vespa.version import Version, VersionError

        try:
            endpoints = EndpointSettings(
                urls=tuple(url.strip() for url in settings.url.split(",") if url.strip()),
                ca=settings.ca,
                certificate=settings.certificate,
                key=settings.key,
                check_hostname=settings.check_hostname,
                token=None if settings.token is None else settings.token.get_secret_value(),
                token_file=settings.token_file,
                connections=settings.connections,
                connect_share=settings.connect_share,
                compression=settings.compression,
                breaker_failures=settings.breaker_failures,
                breaker_pause=settings.breaker_pause_s,
            )
            search = SearchSettings(
                target_hits_factor=settings.target_hits_factor,
                target_hits_least=settings.target_hits_least,
                total_target_hits_factor=settings.total_target_hits_factor,
                explore_additional_hits=settings.explore_additional_hits,
                graph_share=settings.graph_share,
            )
            shadow = ShadowSettings(settings.shadow_share, settings.shadow_every_s, settings.shadow_timeout_s)
            version = Version.read(path)
            whole, joined = VespaSettings(endpoints, version, search, shadow), version.profiles >= 2
            if settings.changes:
                from index.vespa.feed.live import LiveJoinedVespaIndex, LiveVespaIndex

                made = LiveJoinedVespaIndex if joined else LiveVespaIndex
                live = made(whole, path.resolve().parent.parent)
                return OpenedIndex(
                    index=live,
                    far=live if isinstance(live, LiveJoinedVespaIndex) else None,
                    values=live,
                    titles=live if version.titles else None,
                    features=live if version.features else None,
                    lexical=live if version.texts else None,
                    photos=live if version.picture_dim else None,
                    ranked=live if version.popular else None,
                    check=live.check,
                    writable=live,
                    calls=live.calls,
                )
            index = JoinedVespaIndex(whole) if joined else VespaIndex(whole)
        except VersionError as error:
            raise IndexOpenError(f"index {error}") from error
        except (OSError, ValueError) as error:
            raise IndexOpenError(f"vespa: {error}") from error
        lexical = index if whole.version.texts else None
        return OpenedIndex(
            index=index,
            far=index if isinstance(index, JoinedVespaIndex) else None,
            values=index,
            titles=index if version.titles else None,
            features=index if version.features else None,
            lexical=lexical,
            photos=index if version.picture_dim else None,
            ranked=index if version.popular else None,
            check=index.check,
            unwritable=_NO_CHANGES,
            calls=index.calls,
        )
