"""Opens the deployments that arms name: those that serve already are kept, new ones are checked first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from index.port import IndexUnavailable
from service.deployment import Deployment, Folders, Worker, arm_folders
from service.errors import FieldError, StartError
from service.experiments import ExperimentBook
from service.recall.calibration import BUILT_IN
from service.recall.controls import asked
from service.settings import Settings

log = logging.getLogger("mrse.service")

#: Between two questions to an index that does not answer yet.
_ASK_AGAIN_S = 1.0

#: Opens a deployment off the event loop, as `service.deployment.open_deployment` does.
Opener = Callable[..., Deployment]


class Openings:
    """What was opened and not heard of yet is asked again before it gets traffic.

    Args:
        opener: opens a deployment; runs on a thread.
        announce: told each step.
    """

    def __init__(self, opener: Opener, announce: Callable[[str], None]) -> None:
        self._opener = opener
        self._announce = announce
        #: Deployments of arms without traffic whose index did not answer when they were opened.
        self._unheard: set[Folders] = set()

    def unheard(self, deployment: Deployment) -> bool:
        """Whether the index of a deployment has not answered yet."""
        return deployment.folders in self._unheard

    async def deployments(
        self,
        settings: Settings,
        book: ExperimentBook,
        have: Mapping[Folders, Deployment],
        worker: Worker,
        patience_s: float | None = None,
    ) -> dict[str, Deployment]:
        """A deployment for each arm of ``towers``: of those in ``have``, and new ones, checked.

        Args:
            settings, book: what is wanted.
            have: deployments that serve.
            worker: what they share.
            patience_s: seconds that servers of indexes with traffic have to answer; None: what it takes.

        Raises:
            StartError: a bundle or an index cannot be served.
            TimeoutError: a server did not answer in time.
        """
        wanted = {arm: arm_folders(settings, chosen) for arm, chosen in book.towers.items()}
        opened: dict[Folders, Deployment] = {}
        open_one = partial(self._opener, worker=worker, announce=self._announce)
        try:
            for folders in dict.fromkeys(wanted.values()):
                if folders not in have:
                    opened[folders] = await asyncio.to_thread(open_one, folders=folders)
            carrying = {wanted[arm] for arm in book.carrying()}
            unheard = {folders: have[folders] for folders in self._unheard & have.keys()} | opened
            async with asyncio.timeout(patience_s):
                for folders in unheard.keys() & carrying:
                    await self._until_it_answers(unheard[folders])
            silent = {
                folders
                for folders in unheard.keys() - carrying
                if not await self._answers_at_once(unheard[folders])
            }
        except BaseException:
            await close_all(opened.values())
            raise
        self._unheard = silent
        tell_unfitted(settings, opened.values())
        return {arm: ({**have, **opened})[folders] for arm, folders in wanted.items()}

    async def _answers_at_once(self, deployment: Deployment) -> bool:
        """Whether the server behind an index that gets no traffic is there; nobody waits for it."""
        try:
            async with asyncio.timeout(_ASK_AGAIN_S):
                await self._until_it_answers(deployment)
        except TimeoutError:
            log.warning("an arm without traffic has no index", extra={"index": deployment.index.version})
            return False
        return True

    async def _until_it_answers(self, deployment: Deployment) -> None:
        """Wait for the server behind an index; one that is not there yet is no reason to end."""
        if deployment.check is None:
            return
        while True:
            self._announce(f"asking {deployment.index.version} whether it is there")
            try:
                await deployment.check()
            except IndexUnavailable as error:
                self._announce(f"waiting for the index: {error.reason}")
                await asyncio.sleep(_ASK_AGAIN_S)
            except ValueError as error:  # it is another bundle's, or of another shape
                raise StartError(str(error)) from error
            else:
                return


async def close_all(deployments: Iterable[Deployment]) -> None:
    """Close them one after the other."""
    for deployment in deployments:
        await deployment.close()


def tell_unfitted(settings: Settings, deployments: Iterable[Deployment]) -> None:
    """Warn where words are merged by the built-in curve: nothing in it tells how good the towers are."""
    recall = settings.recall
    if "calibrated" not in (recall.merge, *recall.teams) or not recall.tables["lexical"].enabled:
        return
    for deployment in deployments:
        if deployment.calibration is BUILT_IN and deployment.lexical is not None:
            log.warning(
                "words are merged by the built-in curve, which trusts weak towers as it does strong ones: "
                "run mrse calibrate",
                extra={"bundle": deployment.bundle.version},
            )


def check_options(settings: Settings, deployments: Mapping[str, Deployment]) -> None:
    """Fail where the boosts or the limit of the settings, or of an arm, are not for an index that answers.

    Raises:
        StartError: names the key.
    """
    arms = {
        f"experiments.{name}.{arm}.": its.recall
        for name, of in settings.experiments.items()
        for arm, its in of.items()
    }
    for where, change in {"": {}, **arms}.items():
        if where and not change.keys() & {"boosts", "diversity"}:
            continue
        options = settings.recall.changed(change) if change else settings.recall
        for deployment in deployments.values():
            try:
                asked.check_options(options, deployment.index.attributes, deployment.values is not None)
            except FieldError as error:
                raise StartError(f"{where}{error.field}: {error}") from error
