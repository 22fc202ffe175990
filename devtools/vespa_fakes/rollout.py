"""A rollout: two versions are fed while changes of both come over a Redis Stream, and feeders are killed.

What has to be stored in the end is the folder and all changes, one after another, in a plain dictionary.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from redis.asyncio import Redis

from artifacts.embeddings import EmbeddingsFolder
from devtools.embeddings import make_embeddings
from devtools.vespa_fakes.document_server import DocumentServer
from index.vespa.tensors import bfloat16_hex, unit_rows
from index.vespa.version import Version

_MRSE = (sys.executable, "-c", "from cli.main import main; main()")
_STREAM, _GROUP = "changes", "mrse-vespa"
#: Changes that are added to the stream at once.
_AT_ONCE = 50
#: Seconds between looks for whether all changes are fed, and looks.
_LOOK_EVERY, _LOOKS = 0.5, 6000


@dataclass(frozen=True)
class Rollout:
    """Two embeddings folders of the same items, and a package that has both versions."""

    folder: Path
    server: DocumentServer
    redis: str
    items: int

    @classmethod
    async def prepare(cls, folder: Path, server: DocumentServer, redis: str, items: int) -> Rollout:
        """Make the folders and the package."""
        for number, name in enumerate(("blue", "green")):
            make_embeddings(folder / name, rows=items, bundle_version=f"{name}-0123abcd", seed=number)
            await _run("vespa", "add-version", folder / name, "--package", folder / "package")
        return cls(folder, server, redis, items)

    def feeders(self) -> dict[str, tuple[object, ...]]:
        """The commands that run side by side."""
        where = ("--package", self.folder / "package", "--endpoint", self.server.url)
        return {
            "blue": ("vespa", "feed", self.folder / "blue", *where),
            "green": ("vespa", "feed", self.folder / "green", *where),
            "changes": ("vespa", "feed", *where, "--follow", _STREAM, "--redis", self.redis),
        }

    async def run(self, changes: Sequence[Mapping[str, Any]], kills: Sequence[tuple[int, str]]) -> None:
        """Feed both folders and all changes; each kill is of a feeder, after that many requests.

        Raises:
            RuntimeError: a feeder ended otherwise than it was made to.
        """
        running = {name: await _start(*command) for name, command in self.feeders().items()}
        async with Redis.from_url(self.redis) as client, asyncio.TaskGroup() as group:
            adding = group.create_task(self._add(client, changes))
            for after, name in kills:
                await self.server.has_served(after)
                if running[name].returncode is None:
                    running[name].send_signal(signal.SIGKILL)
                    await running[name].wait()
                running[name] = await _start(*self.feeders()[name])
            await adding
            for name in ("blue", "green"):
                if await running[name].wait() != 0:
                    raise RuntimeError(f"the feed of {name} ended with {running[name].returncode}")
            for _ in range(_LOOKS):
                if running["changes"].returncode is not None or await _is_done(client):
                    break
                await asyncio.sleep(_LOOK_EVERY)
            running["changes"].send_signal(signal.SIGTERM)
            if await running["changes"].wait() != 0:
                raise RuntimeError(f"the feed of changes ended with {running['changes'].returncode}")

    async def _add(self, client: Redis, changes: Sequence[Mapping[str, Any]]) -> None:
        """Add changes as fast as requests are served, so that they race the folders."""
        for start in range(0, len(changes), _AT_ONCE):
            async with client.pipeline(transaction=False) as pipe:
                for change in changes[start : start + _AT_ONCE]:
                    pipe.xadd(_STREAM, {"change": orjson.dumps(change)})
                await pipe.execute()
            done = start / len(changes)
            if done < 0.8:  # the last fifth comes after the folders
                await self.server.has_served(int(2 * self.items * done))

    def wrong(self, changes: Sequence[Mapping[str, Any]]) -> list[str]:
        """Documents of both versions that are missing, too many, or not as they should be."""
        found = []
        for name in ("blue", "green"):
            folder = EmbeddingsFolder.open(self.folder / name)
            prefix = f"{Version.from_embeddings(folder).document_type}/"
            wanted = {f"{prefix}{item}": each for item, each in _model(folder, changes).items()}
            stored = {
                item: (fields["embedding"], fields.get("price"))
                for item, fields in self.server.documents.items()
                if item.startswith(prefix)
            }
            found += [item for item in wanted.keys() | stored.keys() if wanted.get(item) != stored.get(item)]
        return found


def changes_for(items: int, count: int, seed: int) -> list[dict[str, Any]]:
    """Prices, removals and puts, of items that the folders have and of others."""
    rng, drawn = random.Random(seed), []
    for number in range(count):
        item = f"item-{rng.randrange(items + items // 10)}"
        match rng.randrange(8):
            case 0:
                drawn.append({"id": item, "remove": True})
            case 1:
                vectors = {
                    f"{name}-0123abcd": [rng.uniform(-1, 1) for _ in range(128)] for name in ("blue", "green")
                }
                drawn.append({"id": item, "vectors": vectors, "attributes": {"price": float(number)}})
            case _:
                drawn.append({"id": item, "attributes": {"price": float(number)}})
    return drawn


def _model(
    folder: EmbeddingsFolder, changes: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[str, float | None]]:
    """Vector and price of each item after all changes, one after another."""
    columns = next(folder.batches(["id", "price"], folder.meta.rows))
    vectors = unit_rows(folder.vectors)
    model: dict[str, tuple[str, float | None]] = {
        item: (bfloat16_hex(vector), price)
        for item, vector, price in zip(columns["id"], vectors, columns["price"], strict=True)
    }
    for change in changes:
        item = change["id"]
        if change.get("remove"):
            model.pop(item, None)
        elif "vectors" in change:
            vector = np.asarray(change["vectors"][folder.meta.bundle_version], np.float32)
            model[item] = bfloat16_hex(unit_rows(vector[None])[0]), change["attributes"]["price"]
        elif item in model:
            model[item] = model[item][0], change["attributes"]["price"]
    return model


async def _is_done(client: Redis) -> bool:
    last = (await client.xinfo_stream(_STREAM))["last-generated-id"]
    groups = {each["name"]: each for each in await client.xinfo_groups(_STREAM)}
    mine = groups.get(_GROUP.encode(), {})
    return mine.get("last-delivered-id") == last and mine.get("pending") == 0


async def _start(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *_MRSE, *map(str, arguments), stdout=asyncio.subprocess.DEVNULL, env=os.environ | {"NO_COLOR": "1"}
    )


async def _run(*arguments: object) -> None:
    process = await _start(*arguments)
    if await process.wait() != 0:
        raise RuntimeError(f"{arguments} ended with {process.returncode}")
