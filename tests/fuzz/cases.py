"""Cases: files, a command line and where it prints, each a function of its seed alone."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from fleet.recorded import INPUTS
from fleet.scenario.document import parse, put, read_text, scenario_names, tables
from fleet.stored.manifest import seal
from node_sim.catalog.designs import DESIGNS
from node_sim.catalog.kernels import PROFILE_NAMES
from node_sim.one_page.inject import list_lines
from tests.fuzz import hostile, keys

RECORDED: Final = Path(__file__).parents[2] / "fleet" / "recordings" / "6.1.192.csv"
PLACES: Final = ("file",) * 18 + ("full", "closed", "broken", "all closed", "all full")
"""Where a command prints: a device that is full, nowhere, a reader that has gone; all: its errors, too."""
SERVED_AT_ONCE: Final = ("--nodes", "20", "--host", "127.0.0.1", "--port", "0", "--speed", "1e9", "--end", "exit")
"""A fleet that is served for no longer than a moment: its year is over in one."""
TINY: Final = ("--nodes", "20", "--years", "0.1", "--workers", "1")


@dataclass
class Case:
    """One thing to try.

    Attributes:
        kind: Its name in ``KINDS``.
        arguments: Words after ``hwpoison-fleet``.
        files: Contents by name, in the working folder.
        stdout: Where it prints.
        run: Whether a copy of a finished run lies in ``run``; then ``damage`` are contents of its files.
    """

    kind: str
    arguments: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    stdout: str = "file"
    run: bool = False
    damage: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)


@cache
def _shipped() -> tuple[dict[str, Any], ...]:
    found = [parse(name, read_text(name)[1]) for name in scenario_names()]
    return (*found, {"group": {"a": {}}}, {"group": {"a": {"workload": {"base": "web"}}}})


def _document(random: Random) -> dict[str, Any]:
    document = copy.deepcopy(random.choice(_shipped()))
    return document | {"nodes": 20, "years": 0.1}


def _sections(section: dict[str, Any]) -> list[dict[str, Any]]:
    """All tables of a document, itself among them."""
    return [section, *(one for inner in section.values() if isinstance(inner, dict) for one in _sections(inner))]


def _mutate(random: Random, document: dict[str, Any]) -> None:
    """Change a document in one place."""
    section = random.choice(_sections(document))
    kind = random.randrange(8)
    if kind == 0 or not section:
        section[hostile.key(random)] = hostile.value(random)
        return
    name = random.choice(list(section))
    if kind == 1:
        del section[name]
    elif kind == 2:
        section[hostile.key(random)] = section.pop(name)
    elif kind == 3:
        section[name] = random.choice(([section[name]], {name: section[name]}, [[section[name]]] * 3))
    elif kind == 4:
        other = random.choice(_sections(document))
        other[name] = copy.deepcopy(section[name])
    elif kind == 5:
        key, _, _ = random.choice(keys.tree())
        groups = [group for _, group in tables(document.get("group"))]
        if groups:
            put(random.choice(groups), key.split("."), hostile.value(random))
    else:
        section[name] = hostile.value(random)


def check(random: Random) -> Case:
    """A scenario with some entries that are wrong."""
    document = _document(random)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        _mutate(random, document)
    command = ["run", *TINY] if random.random() < 0.1 else ["scenario", "check"]
    return Case("check", [*command, "x.toml"], {"x.toml": hostile.toml(document).encode("utf-8", "surrogatepass")})


def bytes_of_toml(random: Random) -> Case:
    """A scenario with some bytes that are wrong."""
    text = hostile.toml(_document(random)) if random.random() < 0.5 else read_text(random.choice(scenario_names()))[1]
    return Case("bytes", ["scenario", "check", "x.toml"], {"x.toml": hostile.bytes_of(random, text.encode())})


def limits(random: Random) -> Case:
    """A tiny run with allowed values at their limits."""
    document = _document(random)
    for group in document["group"].values():
        for _ in range(random.choice((1, 1, 2, 3))):
            key, known, kind = random.choice(keys.tree())
            put(group, key.split("."), keys.extreme(random, key, known, kind))
    document["years"] = random.choice((1e-6, 0.1, 0.1, 1.0))
    more = random.choice(([], ["--json"], ["--seed", str(random.choice((0, 2**64 - 1)))]))
    return Case("limits", ["run", "x.toml", "--workers", "1", *more], {"x.toml": hostile.toml(document).encode()})


def _key(random: Random) -> str:
    key = random.choice(keys.tree())[0]
    return random.choice(
        (
            *(key, key, key, f"group.sddc.{key}", "nodes", "years", "name", "description", "group", "arm", "seed"),
            *("arm.default", "group.sddc", "workload", "own_policy.function", "kernel.switches", hostile.key(random)),
            *(f"{key}.x", f"kernel.switches.{hostile.key(random)}", "workload.base", "workload.process"),
        )
    )


def _text(random: Random) -> str:
    """A value as the command line has it."""
    return hostile.word(random) if random.random() < 0.6 else hostile.literal(hostile.value(random))


def settings(random: Random) -> Case:
    """``--set`` with anything."""
    words = [word for _ in range(random.choice((1, 1, 2, 3))) for word in ("--set", f"{_key(random)}={_text(random)}")]
    words += ["--nodes", "20"] * any(word.startswith("nodes=") for word in words)
    command = random.choice((["run", *TINY], ["scenario", "show", "--sample", "0"], ["scenario", "show", "--json"]))
    if random.random() < 0.1:
        command = ["scenario", "cite", *random.choice(([], ["--bibtex"]))]
    if "--json" in command:
        command = [*command, "--sample", "0"]
    return Case("settings", [*command, *words])


def sweep(random: Random) -> Case:
    """``--sweep`` and ``--arm`` with anything."""
    words = []
    for _ in range(random.choice((1, 1, 2, 4))):
        count = random.choice((0, 1, 2, 2, 3, 40, 5000))
        key, known, kind = random.choice(keys.tree())
        values = [hostile.literal(keys.extreme(random, key, known, kind)) for _ in range(count)]
        values += [_text(random) for _ in range(random.choice((0, 0, 1)))]
        words += ["--sweep", f"{key if random.random() < 0.8 else _key(random)}={','.join(values)}"]
    words += random.choice(([], [], ["--arm", hostile.word(random)], ["--policy", hostile.word(random)]))
    return Case("sweep", ["run", *TINY, *words])


@cache
def _inject_words() -> tuple[str, ...]:
    """Names that ``inject --list`` prints."""
    return tuple(word for line in list_lines() for word in line.replace(",", " ").split()[:1] if word)


def inject(random: Random) -> Case:
    """One page, with names that exist and names that do not."""
    names = _inject_words()
    words = ["inject"]
    processes = ("unset", "early", "late:handler", "unset+early:blocked+open", "late:ignored", "early:blocked")
    for option, choices in (
        ("--page", names),
        ("--event", names),
        ("--kernel", PROFILE_NAMES),
        ("--process", processes),
        ("--then", names),
        ("--switch", tuple(f"{name}=true" for name in names)),
        ("--filter", ("dev-major=1", "flags-mask=0x1", "memcg=in", "flags-value=5", "memcg=out")),
        ("--tolerant", ("0", "3")),
    ):
        for _ in range(random.choice((0, 1, 1, 2))):
            chosen = random.choice(choices) if random.random() < 0.8 else hostile.word(random)
            chosen = f"{chosen}={hostile.word(random)}" if random.random() < 0.03 else chosen
            words += [option, chosen]
    flags = ("--early-kill", "--no-recovery", "--no-soft-offline", "--no-memory-failure", "--no-mca-recovery")
    flags += ("--firmware-first", "--no-safe-copies", "--json")
    return Case("inject", words + [flag for flag in flags if random.random() < 0.2])


def dram(random: Random) -> Case:
    """One design of a DIMM at the limits of its options."""
    words = ["dram", "--lifetimes", str(random.choice((1, 2, 1000, 5000)))]
    for option, choices in (
        ("--ecc", tuple(DESIGNS)),
        ("--rules", ("codes", "faultsim")),
        ("--years", ("0.001", "100", "7", "0.0010000000000000002")),
        ("--fit-factor", ("0", "5e-324", "1e-300", "1", "100", "1e6")),
        ("--frailty-variance", ("0", "5e-324", "1e-300", "1e-12", "100", "1")),
        ("--chips", ("1", "2", "18", "256")),
        ("--ranks", ("1", "16")),
        ("--banks", ("1", "1024", "3")),
        ("--rows", ("1", "2", str(1 << 24), "7")),
        ("--columns", ("8", "1", str(1 << 20), "24")),
        ("--width", ("4", "8", "16")),
        ("--scrub-hours", ("0", "5e-324", "1e6", "1e-12", "24")),
        ("--extents", ("partial", "whole")),
        ("--seed", ("0", str(2**64 - 1))),
        ("--dump", ("0", str(2**33 - 1))),
    ):
        if random.random() < 0.3:
            words += [option, random.choice(choices) if random.random() < 0.85 else hostile.word(random)]
    return Case("dram", words + random.choice(([], ["--json"])))


def _crossed(random: Random, lines: list[str]) -> list[list[str]]:
    """Rows with fields from other rows: every field is one that a recording can have."""
    head, *others = csv.reader(lines)
    rows = [list(row) for row in random.sample(others, 6)]
    for row in rows:
        for at in random.sample(range(len(INPUTS)), random.choice((1, 2, 5))):
            row[at] = random.choice(others)[at]
    return [head, *rows]


def conform(random: Random) -> Case:
    """A recording with wrong bytes, columns or fields."""
    lines = RECORDED.read_text().splitlines(keepends=True)
    chosen = [lines[0], *random.sample(lines[1:], random.choice((1, 3, 10)))]
    rows = list(csv.reader(chosen))
    kind = random.randrange(5)
    if kind == 0:
        at = random.randrange(len(rows[0]))
        rows = [row[:at] + row[at + 1 :] for row in rows]
    elif kind == 1:
        for row in rows[random.choice((0, 1)) :]:
            row[random.randrange(len(row))] = random.choice((*hostile.TEXTS, "n/a", "0", "-", '"', "x" * 200_000))
    elif kind == 2:
        rows = [row + [random.choice(hostile.TEXTS)] * random.randrange(3) for row in rows]
    else:
        rows = _crossed(random, lines)
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    content = text.getvalue().encode("utf-8", "surrogatepass")
    if kind == 3:
        content = hostile.bytes_of(random, content)
    kernel = random.choice(PROFILE_NAMES) if random.random() < 0.9 else hostile.word(random)
    asked = random.choice((["x.csv"], ["x.csv", "-v"], ["x.csv", "--json"], ["--predict", "x.csv", "-o", "y.csv"]))
    if random.random() < 0.05:
        asked = [f"builtin:{hostile.word(random)}", *random.choice(([], ["--columns"]))]
    if random.random() < 0.1:
        asked = random.choice((["/dev/zero"], ["."], ["--predict", "x.csv", "-o", hostile.word(random)], ["/dev/null"]))
    return Case("conform", ["conform", *asked, "--kernel", kernel], {"x.csv": content})


WRITING: Final = frozenset(("-o", "--output", "init", "deploy"))
WRITING: Final = frozenset(("-o", "--output", "--write", "init"))
"""Words with which a command writes a file: devices of this machine are kept out of its reach, whatever is wrong."""
OPTIONS: Final = (
    *("-o", "--output", "--arm", "--nodes", "--years", "--seed", "--set", "--sweep", "--policy", "--shard-nodes"),
    *(
        "--workers",
        "--address",
        "--nodes-per-actor",
        "--aggregators",
        "--resume-if-planned",
        "--metrics-port",
        "--metrics-host",
    ),
    *("--json", "--baseline", "--node", "--group", "--only", "--format", "--size", "--dpi", "--top"),
    *("--json", "--baseline", "--node", "--group", "--fail-if", "--metric", "--by", "--csv", "--pareto", "--cost"),
    *("--brief", "--every-row", "--all", "--collector", "--rows-per-window"),
    *("--brief", "--every-row", "--all"),
    *("--host", "--port", "--speed", "--start", "--end", "--layout", "--compat", "--write", "--at"),
    *("--brief", "--every-row", "--all", "--truth", "--lead", "--interval", "--scrape", "--prometheus"),
    *("--sample", "--from", "--kernel", "--predict", "--then", "--filter", "--switch", "-v", "-h", "--help", "--list"),
    *("--version", "--rules", "--columns", "--lifetimes", "--dump", "--speed", "--bibtex", "--nosuch", "--", "-x"),
)
SUBJECTS: Final = (
    *("check", "compare", "conform", "deploy", "dram", "export", "figures", "inject", "replay", "report", "resume"),
    *("run", "scenario", "schema", "summary", "tables"),
    *("check", "compare", "conform", "dram", "export", "figures", "inject", "replay", "report", "resume", "run"),
    *("scenario", "schema", "serve", "summary", "tables"),
    *(
        "alerts",
        "check",
        "compare",
        "conform",
        "dram",
        "export",
        "figures",
        "inject",
        "replay",
        "report",
        "resume",
        "run",
    ),
    *("scenario", "schema", "summary", "tables"),
)
COMMANDS: Final = (*SUBJECTS, "runn", "")
WORDS: Final = (
    *("list", "show", "cite", "init", "check", "baseline", "run", "run/plan.json", ".", "/dev/zero", "/dev/full", "1"),
)


def commands(random: Random) -> Case:
    """Words of command lines in any order."""
    words = [random.choice(COMMANDS) if random.random() < 0.95 else hostile.word(random)]
    for _ in range(random.randrange(5)):
        kind = random.randrange(3)
        words.append((random.choice(OPTIONS), random.choice(WORDS), hostile.word(random))[kind])
    if words[0] == "run":
        words += TINY
    if words[0] == "scenario" and "show" in words:
        words += ["--sample", "10"]
    if words[0] == "dram":
        words += ["--lifetimes", "100"]
    if words[0] == "serve":
        words += SERVED_AT_ONCE
    return Case("commands", words, run=random.random() < 0.5)


def deploy(random: Random) -> Case:
    """Folders and speeds of any kind."""
    speed = random.choice(("1", "60", "0.5", "1e9", "nan", "-inf", "0", hostile.word(random)))
    folder = random.choice(("new", "a/b", ".", "x.toml", "x.toml/y", "", "/proc/x", hostile.word(random)))
    return Case("deploy", ["deploy", folder, *random.choice(([], ["--speed", speed]))], {"x.toml": b"x"})


def _damaged(random: Random, own_seal: bool) -> Callable[[bytes], bytes]:
    """Return a change of a JSON document, sealed again or not."""

    def change(content: bytes) -> bytes:
        kind = random.randrange(4)
        if kind == 0:
            return random.choice(
                (b"[" * 3000, b"", b"3", b"null", b"[]", b"{}", b"9" * 5000, b'{"a":NaN}', b"\xff\x00")
            )
        if kind == 1:
            return hostile.bytes_of(random, content)
        document = json.loads(content)
        section = random.choice(_sections(document))
        if section:
            section[random.choice(list(section))] = random.choice((None, 3, "x", [], {}, -1, 1e308, [[]], True, 2**70))
        document.pop("seal", None)
        return json.dumps(seal(document) if own_seal else document).encode()

    return change


def folders(random: Random) -> Case:
    """Commands over a run whose documents were altered."""
    name = random.choice(("run/run.json", "run/plan.json", "run/commit/000000.json"))
    figure = ["figures", "-o", "drawn", "--only", "kills_by_cause,response_to_sweep"]
    command = random.choice((["summary"], ["compare"], ["replay", "--node", "1"], ["resume", "--workers", "1"], figure))
    more = random.choice(([], ["--json"])) if command[0] != "figures" else []
    damage = {name: _damaged(random, random.random() < 0.5)}
    return Case("folders", [command[0], "run", *command[1:], *more], run=True, damage=damage)


def finished(random: Random) -> Case:
    """Commands over a healthy run with any node, arm or baseline."""
    word = hostile.word(random) if random.random() < 0.6 else random.choice(("default", "no_recovery", "0", "59", "60"))
    node = hostile.word(random) if random.random() < 0.3 else str(random.choice((0, 59, 60, -1, 2**31, 2**63, 10**30)))
    words = random.choice((["compare", "run", "--baseline", word], ["replay", "run", "--node", node, "--arm", word]))
    others = (["replay", "run", "--node", node], ["summary", word], ["resume", "run", "--workers", word])
    table = hostile.word(random) if random.random() < 0.5 else random.choice(("errors", "groups", "lifecycle"))
    reading = (["tables", table], ["export", "csv", "run", "-o", "out", "--table", table, "--arm", word])
    others = (*others, *reading, ["export", word, "run", "-o", "out"])
    option = random.choice(("--step", "--end", "--series", "--nodes", "--arm", "--max-series"))
    past = ["export", "openmetrics", "run", "-o", "out"]
    others = (
        *others,
        [*past, option, word],
        [*past, "--series", "nodes", "--nodes", random.choice((word, "0-3", node))],
    )
    form = random.choice(("rasdaemon", "kernel-log", "trace", "injection-script"))
    few = ["--rows-per-window", random.choice(("1", "2", word))]
    nodes = random.choice(("with-events", "0-3,59", "1,", "-", node, word))
    recorded = ["export", form, "run", "-o", "out", "--nodes", nodes, *few]
    others += (recorded, [*recorded, "--arm", word], [*recorded, "--collector", word])
    others += (["compare", "run", "--by", word], ["compare", "run", "--metric", word], ["compare", "run", word])
    others += (["compare", "run", "--pareto", word], ["compare", "run", "--cost", word], ["check", "run"])
    others += (["compare", "run", "--sensitivity", "--figure", word],)
    serve = ["serve", "run", "--arm", word, "--start", word, "--sample", node, "--layout", word, "--compat", word]
    sysfs = ["export", "edac-sysfs", "run", "--node", node, "--at", word, "-o", "out"]
    of_serve = (["serve", "run", random.choice(("--start", "--arm", "--layout", "--write", "--sample")), word], serve)
    others += (*([*one, *SERVED_AT_ONCE] for one in of_serve), sysfs, [*sysfs[:5], "--at", "1d", "-o", word])
    alerts = ["alerts", "run", "--rules", "rules.yml", "--prometheus", "."]
    others += ([*alerts, "--lead", word], [*alerts, "--truth", word], ["alerts", "run", "--rules", word])
    others += (["summary", "run", "--fail-if", word], ["compare", "run", "--fail-if", word])
    files = {"rules.yml": b"groups: []\n"}
    return Case("finished", [*random.choice((words, *others)), *random.choice(([], ["--json"]))], files, run=True)


def printing(random: Random) -> Case:
    """Healthy commands that cannot print."""
    run = random.choice((["summary", "run"], ["compare", "run", "--json"], ["replay", "run", "--node", "3"]))
    others = (["scenario", "list"], ["scenario", "show", "--sample", "0"], ["--help"], ["run", "--help"], ["--version"])
    others += (["scenario", "cite", "--bibtex"],)
    more = (
        ["inject", "--list"],
        ["inject"],
        ["tables"],
        ["dram", "--lifetimes", "10"],
        ["run", *TINY, "--json"],
        ["nosuch"],
    )
    case = Case("printing", random.choice((run, *others, *more)), run=True)
    case.stdout = random.choice(PLACES[-5:])
    return case


KINDS: Final[dict[str, tuple[Callable[[Random], Case], int]]] = {
    "check": (check, 30),
    "bytes": (bytes_of_toml, 8),
    "limits": (limits, 12),
    "settings": (settings, 16),
    "sweep": (sweep, 8),
    "inject": (inject, 6),
    "dram": (dram, 5),
    "conform": (conform, 6),
    "commands": (commands, 6),
    "folders": (folders, 6),
    "finished": (finished, 3),
    "printing": (printing, 2),
    "deploy": (deploy, 2),
}
"""How cases are made, and their weights."""


def case_of(seed: int, kinds: tuple[str, ...] = tuple(KINDS)) -> Case:
    """Make the case of a seed."""
    random = Random(seed)
    kind = random.choices(kinds, [KINDS[name][1] for name in kinds])[0]
    case = KINDS[kind][0](random)
    if case.stdout == "file":
        case.stdout = random.choice(PLACES)
    case.arguments = [str(word)[:130_000] for word in case.arguments]
    if not WRITING.isdisjoint(case.arguments):
        case.arguments = ["." if "/dev/" in word else word for word in case.arguments]
    return case
