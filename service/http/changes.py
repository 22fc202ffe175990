"""Changes to the indexes of all arms: whose they are, who made them, and what became of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from typing_extensions import TypedDict

from common.deadline import Deadline
from index.changes import ChangeRefused, WritableIndex, WriteResult
from index.port import IndexFull, IndexUnavailable
from service.access.guard import CALLER
from service.errors import InsufficientStorage, Unavailable
from service.http import documentation as docs
from service.http.problems import ProblemError, unusable
from service.http.requests import Call

#: Seconds that a change may take.
PATIENCE_S = 30.0
#: Indexes by arm of ``towers``.
Indexes = Mapping[str, WritableIndex]
#: Makes a change to the index of an arm.
Change = Callable[[str, WritableIndex, Deadline], Awaitable[WriteResult]]

#: What may come of a change, beside 200.
PROBLEMS: dict[int | str, docs.Docs] = {
    404: docs.problem("There is no such arm."),
    422: docs.problem("A field cannot be used."),
    501: docs.problem("The arm's index is not changed here."),
    503: docs.PROBLEM_503,
    507: docs.problem("The disk of the index has no room for the change; nothing was done."),
}


class ChangedArm(TypedDict):
    """What was written to the index of one arm, and the ids that it does not have."""

    written: int
    unknown: list[str]


class Changed(TypedDict):
    """What is on disk now: changes written, over all arms; ids that no arm has; and each arm's own."""

    written: int
    unknown: list[str]
    towers: dict[str, ChangedArm]


def indexes_of(call: Call, arm: str | None) -> Indexes:
    """The index of the arm, or of every arm, each index once.

    Raises:
        ProblemError: 404 for an arm that there is not, 501 for an index that takes no changes.
    """
    deployments = call.runtime.deployments
    if arm is not None and arm not in deployments:
        known = ", ".join(deployments)
        raise ProblemError(404, "not-found", f"towers has no arm {arm!r}; it has {known}")
    found: dict[str, WritableIndex] = {}
    for name in deployments if arm is None else (arm,):
        index = deployments[name].writable
        if index is None:
            detail = f"the index of {name} is not changed through this service"
            if (why := deployments[name].unwritable) is not None:
                detail += f": {why}"
            raise ProblemError(501, "not-writable", detail)
        if not any(index is other for other in found.values()):
            found[name] = index
    return found


async def changed(call: Call, what: str, indexes: Indexes, ids: Sequence[str], change: Change) -> Changed:
    """Make a change, of the items with these ids, and write down who made it.

    Raises:
        ProblemError, InsufficientStorage, Unavailable: it was not made to every index; it may be made again.
    """
    scope, arms = call.request.scope, list(indexes)
    audit, address = call.runtime.audit, (scope.get("client") or ("",))[0]
    who = scope[CALLER].name
    async with audit.change(who, what, ids, arms=arms, address=address, request_id=call.request_id):
        return await _change_each(indexes, change)


async def _change_each(indexes: Indexes, change: Change) -> Changed:
    """Change one index after the other. Where one fails the call fails: it may be made again as it was."""
    done: dict[str, WriteResult] = {}
    for arm, index in indexes.items():
        try:
            done[arm] = await change(arm, index, Deadline.after(PATIENCE_S))
        except ChangeRefused as error:
            raise unusable(str(error)) from error
        except IndexFull as error:
            raise InsufficientStorage(f"{arm}: {error}") from error
        except IndexUnavailable as error:
            raise Unavailable(f"{arm}: {error}") from error
    unknown = set.intersection(*(set(result.unknown) for result in done.values()))
    return {
        "written": sum(result.written for result in done.values()),
        "unknown": [item_id for item_id in next(iter(done.values())).unknown if item_id in unknown],
        "towers": {arm: {"written": r.written, "unknown": list(r.unknown)} for arm, r in done.items()},
    }
