"""The driver: plans a run, keeps the engine busy, and is the only one that commits."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

from fleet.engines import Engine, Job
from fleet.engines.choice import EngineChoice, check_choice, make_engine
from fleet.engines.shard import expected_work
from fleet.engines.signals import undisturbed
from fleet.failed import naming_the_replay
from fleet.progress import Committed, Kept, Progress
from fleet.scenario.assumptions import headline_assumptions
from fleet.scenario.decode import decode
from fleet.scenario.fleet import Fleet
from fleet.scenario.load import check_loads
from fleet.scenario.notices import notices
from fleet.scenario.own_policies import hashes_of, with_sources
from fleet.stored.digest import add_digests, to_hex
from fleet.stored.headline import METRICS
from fleet.stored.manifest import (
    FORMAT,
    PLAN,
    RUN,
    VIEWS,
    JsonObject,
    Receipt,
    content_sha256,
    read_plan,
    read_receipts,
    remove_temporaries,
    seal,
    sha256_of,
    write_commit,
    write_document,
    write_json,
)
from fleet.stored.parts import Survey, check_parts, survey
from fleet.stored.plan import Shard, groups_in, plan_shards, shard_size
from fleet.stored.schema import SCHEMA_VERSION, check_version
from fleet.stored.sink import discard, remove_strays
from fleet.stored.store import AnyRoot, RunStore, open_store
from fleet.stored.tally import Tally
from fleet.stored.views import views_sql
from node_sim.columns import TABLE_NAMES
from node_sim.errors import ConfigError, DataError, ModelError, SimError

_OF_GROUP: Final = ("name", "first_node", "nodes", "part", "code", "site", "dimms", "dimm_bytes", "processes")
"""What a plan has of each group, beside its workload."""
Tell = Callable[[str], None]
"""Takes a line about what is mended."""


def versions() -> dict[str, str]:
    """Return the versions of what produced a run."""
    names = ("hwpoison-fleet", "numpy", "scipy", "pyarrow", "ray")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def planned_shards(fleet: Fleet, choice: EngineChoice, shard_nodes: int | None) -> tuple[Shard, ...]:
    """Plan the shards of a run.

    Raises:
        ConfigError: The shard size is not possible.
    """
    size = shard_size(fleet.nodes, shard_nodes, choice.nodes_per_actor, expected_work(fleet), choice.cores())
    return plan_shards(fleet.nodes, size)


def _nodes_by_group(fleet: Fleet, shard: Shard) -> list[int]:
    """Return how many nodes of each group a shard has."""
    return [nodes for _, nodes in groups_in(shard, fleet.groups)]


def start_run(
    fleet: Fleet, seed: int, root: AnyRoot, choice: EngineChoice, shard_nodes: int | None, progress: Progress
) -> JsonObject:
    """Plan and execute a new run; return its manifest.

    Raises:
        ConfigError: The folder or the options are wrong; nothing is left behind.
        ModelError: The scenario asks for more than the model covers; nothing is left behind.
        ExecutionError: A shard failed for good; what is committed stays.
    """
    root = open_store(root)
    check_choice(choice, fleet.nodes)
    shards = planned_shards(fleet, choice, shard_nodes)
    most = [max(nodes) for nodes in zip(*(_nodes_by_group(fleet, shard) for shard in shards), strict=True)]
    check_loads(fleet, most)
    with make_engine(choice, fleet.nodes) as engine:
        made = root.prepare()
        with root.locked():
            plan = _plan(fleet, seed, shards)
            write_json(root, PLAN, plan)
            try:
                return _execute(fleet, plan, root, engine, choice, progress)
            except (ConfigError, ModelError):
                discard(root, fleet.arms, made)
                raise


def _plan(fleet: Fleet, seed: int, shards: tuple[Shard, ...]) -> JsonObject:
    """Return everything that determines a run."""
    return seal(
        {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "scenario_sha256": fleet.sha256(),
            "seed": seed,
            "nodes": fleet.nodes,
            "years": fleet.scenario.years,
            "start": fleet.start,
            "horizon_ns": fleet.horizon_ns,
            "arms": list(fleet.arms),
            "groups": [
                {name: getattr(group, name) for name in _OF_GROUP} | {"workload": fleet.workload_of(group.name)}
                for group in fleet.groups
            ],
            "scenario": fleet.document,
            "changes": list(fleet.changes),
            "own_policies": hashes_of(fleet),
            "notices": [notice.line() for notice in notices(fleet)],
            "headline_assumptions": headline_assumptions(fleet),
            "shards": [list(shard) for shard in shards],
            "versions": versions(),
        }
    )


def is_finished(root: AnyRoot) -> bool:
    """Return whether a run is finished; without a plan it is none at all, which is for others to say."""
    root = open_store(root)
    return root.holds(RUN) or not root.holds(PLAN)


def open_plan(root: AnyRoot) -> tuple[Fleet, JsonObject]:
    """Read the plan of a run, finished or not, with its scenario.

    Raises:
        DataError: The plan is missing, was altered, or was made by a version that means something else by it; or a
            policy of one's own is not the one it was made with.
        ConfigError: There is no such policy.
    """
    root = open_store(root)
    if not root.exists():
        msg = f"{root}: no such folder, expected a run; check the path"
        raise DataError(msg)
    plan = read_plan(root)
    check_version(root / PLAN, plan)
    fleet = decode(str(root / PLAN), plan["scenario"])
    if fleet.sha256() != plan["scenario_sha256"]:
        msg = f"{root / PLAN}: planned by another version, its scenario now means something else; run it anew"
        raise DataError(msg)
    fleet = with_sources(fleet)
    for name, sha256 in hashes_of(fleet).items():
        if plan.get("own_policies", {}).get(name) != sha256:
            where = f"{root / PLAN}: own_policy.function = {name}"
            msg = (
                f"{where}: not the file of the plan, expected the policy that the run began with; run anew in another "
                "folder (-o), or put the file back as it was and resume"
            )
            raise DataError(msg)
    return fleet, plan


def _ignore(_line: str) -> None:
    """Tell nobody."""


def _identity(fleet: Fleet, seed: int) -> dict[str, Any]:
    """Return what makes two runs one and the same."""
    named = {"seed": seed, "nodes": fleet.nodes, "start": fleet.start}
    return named | {"scenario": fleet.sha256(), "policies": hashes_of(fleet)}


def is_planned(root: RunStore, fleet: Fleet) -> bool:
    """Return whether a folder has the plan of the same run: scenario, seed and policies of one's own.

    Raises:
        ConfigError: It has the plan of another run.
        DataError: Its plan was altered.
    """
    if not root.holds(PLAN):
        return False
    planned, plan = open_plan(root)
    there, asked = _identity(planned, plan["seed"]), _identity(fleet, fleet.scenario.seed)
    other = [name for name, value in asked.items() if there[name] != value]
    if other:
        named = ", ".join(f"{name} {there[name]} instead of {asked[name]}" for name in other if name != "policies")
        msg = (
            f"{root}: planned for another run ({named or 'other policies'}), expected the same; choose another with -o"
        )
        raise ConfigError(msg)
    return True


def resume_run(root: AnyRoot, choice: EngineChoice, progress: Progress, tell: Tell = _ignore) -> JsonObject:
    """Run the shards of a run that are not committed, or whose parts are not as committed; return its manifest.

    Every byte of every part is read first. A run that is finished and whole is not touched.

    Raises:
        DataError: The plan, a commit or run.json was altered or is of another run, or a shard that was simulated
            again has other rows than were committed.
        ConfigError: Another process writes the run.
    """
    root = open_store(root)
    fleet, plan = open_plan(root)
    check_choice(choice, fleet.nodes)
    if root.holds(RUN):
        found = survey(root, plan)
        if found.manifest is not None and found.is_finished(plan):
            return found.manifest
    check_version(root / PLAN, plan, SCHEMA_VERSION)
    with make_engine(choice, fleet.nodes) as engine, root.locked():
        return _execute(fleet, plan, root, engine, choice, progress, tell)


def _execute(
    fleet: Fleet,
    plan: JsonObject,
    root: RunStore,
    engine: Engine,
    choice: EngineChoice,
    progress: Progress,
    tell: Tell = _ignore,
) -> JsonObject:
    """Run and commit the shards that are left, then write the manifest."""
    started = datetime.now(UTC)
    found = survey(root, plan)
    for line in found.lines(plan):
        tell(line)
    receipts = found.sound()
    for receipt in receipts.values():
        progress(Kept(receipt))
    left = [Shard(*shard) for shard in plan["shards"] if shard[0] not in receipts]
    if left:
        job = Job(fleet, plan["seed"], root.address())
        with _leaving_nothing_loose(root, plan), naming_the_replay(job, root):
            finished = engine.run(job, left, progress)
            _commit_all(root, plan, finished, found, receipts, progress)
    ordered = [receipts[shard_id] for shard_id in sorted(receipts)]
    views = views_sql(plan, [part for receipt in ordered for part in receipt.parts]).encode()
    manifest = seal(_manifest(fleet, plan, ordered, choice, started, root.lock) | {"files": {VIEWS: sha256_of(views)}})
    if found.manifest is not None and found.manifest["digests"] != manifest["digests"]:
        msg = f"{root / RUN}: other digests than those of all shards; was the run made by another version? Run it anew"
        raise DataError(msg)
    remove_strays(root, fleet.arms, {part.path for receipt in ordered for part in receipt.parts})
    remove_temporaries(root)
    write_document(root, VIEWS, views)
    write_json(root, RUN, manifest)
    return manifest


def _commit_all(
    root: RunStore,
    plan: JsonObject,
    finished: Generator[Receipt, None, None],
    found: Survey,
    receipts: dict[int, Receipt],
    progress: Progress,
) -> None:
    """Commit the shards that an engine finishes, and add them to the receipts."""
    with closing(finished):
        for receipt in finished:
            check_parts(root, receipt)
            _check_again(root, receipt, found)
            write_commit(root, plan, receipt)
            receipts[receipt.shard.shard_id] = receipt
            progress(Committed(receipt))


@contextmanager
def _leaving_nothing_loose(root: RunStore, plan: JsonObject) -> Iterator[None]:
    """Delete what no commit names, should the run end before its time: its workers have ended by then."""
    try:
        yield
    except BaseException:
        with undisturbed(), suppress(SimError, OSError):
            committed = read_receipts(root, plan).values()
            remove_strays(root, plan["arms"], {part.path for receipt in committed for part in receipt.parts})
            remove_temporaries(root)
        raise


def _check_again(root: RunStore, receipt: Receipt, found: Survey) -> None:
    """Check that a shard that was committed before has the same rows again.

    Raises:
        DataError: It has not.
    """
    before = found.receipts.get(receipt.shard.shard_id)
    if before is not None and before.digests != receipt.digests:
        msg = (
            f"{root}: shard {receipt.shard.shard_id}: simulated again, its rows are not those that were committed; "
            "was the run made by another version? Put its parts back, or run it anew"
        )
        raise DataError(msg)


def total_digests(arms: Sequence[str], receipts: Sequence[Receipt]) -> dict[str, dict[str, str]]:
    """Add up the digests of all shards: every table of every arm's view."""
    return {
        arm: {
            table: to_hex(add_digests(*(receipt.digests[arm].get(table, 0) for receipt in receipts)))
            for table in TABLE_NAMES
        }
        for arm in arms
    }


def total_tally(fleet_arms: int, groups: int, receipts: Sequence[Receipt]) -> Tally:
    """Add up the tallies of shards, in the order given."""
    total = Tally.zero(fleet_arms, groups)
    for receipt in receipts:
        total += receipt.tally
    return total


def _manifest(
    fleet: Fleet, plan: JsonObject, receipts: Sequence[Receipt], choice: EngineChoice, started: datetime, lock: str
) -> dict[str, Any]:
    finished = datetime.now(UTC)
    return {
        "format": FORMAT,
        "complete": True,
        "plan_sha256": content_sha256(plan),
        "commits": {str(r.shard.shard_id): content_sha256(r.to_json()) for r in receipts},
        "scenario_sha256": plan["scenario_sha256"],
        "seed": plan["seed"],
        "digests": total_digests(fleet.arms, receipts),
        "metrics": list(METRICS),
        "tally": total_tally(len(fleet.arms), len(fleet.groups), receipts).to_json(),
        "engine": {"name": choice.name, "workers": choice.cores(), "lock": lock},
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((finished - started).total_seconds(), 3),
        "versions": versions(),
    }
