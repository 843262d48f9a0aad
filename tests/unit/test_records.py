"""What collectors would have recorded: every event once, as its machine check says it, and what each of them loses."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from analysis import open_run
from analysis.hosts.changes import CORRECTED, UNCORRECTED, CounterRise, changes
from analysis.hosts.lives import lives
from analysis.records import kernel_log, rasdaemon, trace
from analysis.records.collectors import COLLECTORS, MOVED, NO_EVENT, NOT_BUILT, OTHER_TEXT, PANIC, stored_page_type
from analysis.records.moments import CheckSeen, Corrected, moments
from analysis.records.words import words_of_check, words_of_corrected
from fleet.commands.hosts import hosts_of
from fleet.run import open_plan
from fleet.scenario.decode import decode
from fleet.stored.views import start_us
from node_sim.catalog.kernels import switches_of
from node_sim.codes import PageType
from node_sim.machine_check.exception import amd_deferred, amd_exception, exception, poll
from node_sim.machine_check.severity import AR, DEFERRED, MCIP, UC, Context
from tests.fleets import run_fleet, watched_document

ARMS = tuple(watched_document()["arm"])
FEW = 2
"""Records of a window, so that tests are short."""
COMPLETE, NEW, DEBIAN = (COLLECTORS[name] for name in ("complete", "rasdaemon-0.8.5", "rasdaemon-0.6.8-debian12"))


WINDOWS = 5
"""Windows of corrected errors of a life that are kept; most are like another."""


def thinned(life):
    """A life without most of its windows of corrected errors."""
    windows = [item for item in life if item[0] == "errors" and item[1]["kind"] == "CE"]
    dropped = {row["seq"] for _, row in windows[WINDOWS:]}
    return [item for item in life if item[1]["seq"] not in dropped]


class World:
    """A run, its hosts and lives by arm."""

    def __init__(self, root):
        self.run, (self.fleet, self.plan) = open_run(root), open_plan(root)
        self.start_us = start_us(self.plan)

        self.known = {}

    def hosts(self, arm):
        if arm not in self.known:
            hosts = hosts_of(self.fleet, arm)
            self.known[arm] = [
                (hosts.name(node), thinned(life), hosts.kind(node)) for node, life in lives(self.run, arm)
            ]
        return self.known[arm]

    def log(self, arm, collector=COMPLETE):
        for name, life, kind in self.hosts(arm):
            yield life, kernel_log.log_lines(life, name, kind, 1, self.start_us, collector=collector, at_most=FEW)

    def traces(self, arm, collector=COMPLETE):
        for _, life, kind in self.hosts(arm):
            yield life, kind, trace.trace_lines(life, kind, 1, self.start_us, collector=collector, at_most=FEW)

    def records(self, arm, collector=COMPLETE):
        for _, life, kind in self.hosts(arm):
            yield life, kind, rasdaemon.records(life, kind, 1, self.start_us, collector=collector, at_most=FEW)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("records") / "run"
    run_fleet(decode("test", watched_document()), root, shard_nodes=40)
    return World(root)


def rows_of(life, table):
    return [row for name, row in life if name == table]


def by_column(collector, table, values):
    return dict(zip([*rasdaemon.schema_of(collector.tables)[table]][1:], values, strict=True))


def decided(moment, words, kind):
    """What the machine-check code of the host's kernel does about the words of a record."""
    row, bank = moment.row, words.word
    copies = row["kernel_read"] is not None and row["cpu_context"] == "kernel recoverable copy"
    where = {"user": Context.USER}.get(row["cpu_context"], Context.KERNEL)
    if copies:
        where = Context.COPYIN if row["kernel_read"] == "copy" else Context.RECOVERABLE
    if kind.reporting == "amd":
        if bank.has(DEFERRED):
            return amd_deferred(bank, kind.rules, interrupt=True)
        recovers = moment.reason != "Processor context corrupt"
        return amd_exception(bank, where, kind.rules, succor=recovers, overflow_recovery=True)
    if bank.mcgstatus & MCIP:
        return exception(bank, where, kind.rules)
    return poll(bank, kind.rules)


@pytest.mark.parametrize("arm", ARMS)
def test_words_of_machine_checks_are_graded_as_the_run_says(world, arm):
    seen = Counter()
    for _, life, kind in world.hosts(arm):
        for moment in moments(life, kind, 1, FEW):
            words = words_of_check(moment, kind) if isinstance(moment, CheckSeen) else None
            if words is None:
                continue
            row, does = moment.row, decided(moment, words, kind)
            seen[row["severity"], row["action"]] += 1
            assert (does.panic is not None) == (row["action"] == "panic"), (row, words)
            assert does.panic is not None or does.action_required == (
                row["action"] == "memory_failure action required" or (words.word.has(AR) and row["pfn"] is None)
            ), (row, words)
            assert words.address == (row["pfn"] or 0) << 12
            if does.panic and moment.reason != "poisoned data reached a device":
                assert does.notes.endswith(moment.reason), (row, does)
    assert sum(seen.values()) > 10


@pytest.mark.parametrize("arm", ["intel_6.1", "amd"])
def test_words_of_corrected_errors_count_them_and_lead_to_nothing(world, arm):
    for _, life, kind in world.hosts(arm):
        for moment in moments(life, kind, 1, FEW):
            if isinstance(moment, Corrected):
                words = words_of_corrected(moment, kind)
                assert not words.word.has(UC)
                assert poll(words.word, kind.rules).calls_handler is False
                assert words.word.status >> 38 & 0x7FFF == min(moment.errors, 0x7FFF)
                assert words.address == (moment.pfn or 0) << 12


@pytest.mark.parametrize("arm", ARMS)
def test_databases_hold_every_error_that_the_run_counts(world, arm):
    for life, kind, found in world.records(arm):
        rows = [(table, by_column(COMPLETE, table, values)) for _, table, values in found.records]
        edac = [row for table, row in rows if table == "mc_event"]
        ce = sum(row["ce_count"] for row in rows_of(life, "errors") if row["kind"] == "CE")
        assert sum(row["err_count"] for row in edac if row["err_type"] == "Corrected") == ce
        assert all(1 <= row["err_count"] <= 65_535 for row in edac)
        assert {row["grain"] for row in edac} <= {5, 6}
        handled = [row for row in rows_of(life, "memory_failures") if row["page_type"] is not None]
        of_pages = [row for table, row in rows if table == "memory_failure_event"]
        assert [(row["pfn"], row["action_result"]) for row in of_pages] == [
            (hex(row["pfn"]), row["result"]) for row in handled
        ]
        assert sum(table == "signal_event" for table, _ in rows) == len(rows_of(life, "signals"))
        status = [row["status"] for table, row in rows if table == "mce_record"]
        assert all(-(1 << 63) <= word < 0 for word in status)  # VAL is the sign
        assert not found.lost
        if kind.reporting != "firmware_first":
            assert len(status) >= len(edac)


@pytest.mark.parametrize("arm", ["intel_6.1", "amd", "no_mca", "offline"])
def test_logs_and_counters_of_a_host_agree(world, arm):
    for _, life, kind in world.hosts(arm):
        counted = Counter()
        for one in changes(life, kind, 1):
            if isinstance(one, CounterRise):
                counted[one.counter.what] += one.amount
        lines = kernel_log.log_lines(life, "h", kind, 1, 0, at_most=FEW).lines
        said = Counter()
        for _, line in lines:
            match = re.search(r"EDAC MC\d+: (\d+) (CE|UE) ", line)
            if match:
                said[match[2]] += int(match[1])
        assert said["CE"] == counted[CORRECTED]
        fatal = sum(isinstance(one, CheckSeen) and one.reason is not None and one.spot is not None
                    for one in moments(life, kind, 1, FEW))  # fmt: skip
        assert said["UE"] - fatal == counted[UNCORRECTED]


@pytest.mark.parametrize("arm", ARMS)
def test_a_log_has_a_line_for_every_action_signal_panic_and_boot(world, arm):
    total = Counter()
    for life, found in world.log(arm):
        times = [time_ns for time_ns, _ in found.lines]
        assert times == sorted(times)
        text = "\n".join(line for _, line in found.lines)
        assert text.count("recovery action for") + text.count(" page recovery: ") == sum(
            row["page_type"] is not None for row in rows_of(life, "memory_failures")
        )
        total["signals"] += len(rows_of(life, "signals"))
        total["told"] += len(re.findall("[kK]illing .*:|Sending SIGBUS to|Memory error not recovered", text))
        total["silent"] += sum(
            row["timing"] == "direct" and row["code"] == "BUS_MCEERR_AR" for row in rows_of(life, "signals")
        )
        assert text.count("Kernel panic - not syncing: ") == sum(
            row["kind"] == "panic" for row in rows_of(life, "lifecycle")
        )
        assert text.count("Linux version") == len(re.findall("Linux version", text)) >= 1
        assert all(re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00 sim-\d+ kernel: \S", line)
                   for _, line in found.lines)  # fmt: skip
    if arm == "intel_5.10":  # its kernel sends a SIGBUS without a line where recovery failed
        assert total["signals"] - total["silent"] <= total["told"] <= total["signals"]
    else:
        assert total["told"] == total["signals"]


def test_times_are_those_of_the_run(world):
    for life, found in world.log("intel_6.1"):
        rows = rows_of(life, "memory_failures")
        lines = [line for _, line in found.lines if "recovery action" in line]
        expected = [
            datetime(2025, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["time_ns"] // 1000)
            for row in rows
            if row["page_type"] is not None
        ]
        assert [datetime.fromisoformat(line.split()[0]) for line in lines] == expected


def test_trace_and_database_tell_the_same(world):
    for arm in ("intel_6.1", "intel_7.1", "amd"):
        pairs = zip(world.traces(arm), world.records(arm), strict=True)
        for (_, kind, traced), (_, _, recorded) in pairs:
            text = [line for _, line in traced.lines]
            rows = [(table, by_column(COMPLETE, table, values)) for _, table, values in recorded.records]
            assert len(text) == len(rows)
            for line, (table, row) in zip(text, rows, strict=True):
                name, _, said = line.partition(": ")[2].partition(": ")
                assert name == {"signal_event": "signal_generate"}.get(table, table)
                if table == "mc_event":
                    plural = "s" if row["err_count"] > 1 else ""
                    assert said.startswith(f"{row['err_count']} {row['err_type']} error{plural}:")
                    assert f"on {row['label']} (mc:{row['mc']} " in said
                    assert f"address:0x{row['address']:08x} grain:{1 << row['grain']} " in said
                elif table == "memory_failure_event":
                    expected = f"pfn {row['pfn']}: recovery action for {row['page_type']}: {row['action_result']}"
                    assert said == expected
                elif table == "signal_event":
                    assert f"sig={row['sig']} errno=0 code={row['code']} comm={row['comm']} pid={row['pid']}" in said
            group = "memory_failure" if arm == "intel_7.1" else "ras"
            assert f" {group}:memory_failure_event" in trace.header_lines(kind)[2]


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("collector", [NEW, DEBIAN], ids=lambda one: one.name)
def test_what_a_collector_stores_and_what_it_loses_are_all_there_was(world, arm, collector):
    for (_, _, all_of), (_, _, found) in zip(world.records(arm), world.records(arm, collector), strict=True):
        there = Counter(table for _, table, _ in all_of.records)
        kept = Counter(table for _, table, _ in found.records)
        gone = Counter()
        for (table, reason), number in found.lost.items():
            gone[table] += number if reason != OTHER_TEXT else 0
        assert kept + gone == there


def lost_by(world, arm, collector):
    return sum((found.lost for _, _, found in world.records(arm, collector)), Counter())


def test_collectors_lose_what_the_sources_say(world):
    pages = "memory_failure_event"
    reasons = {arm: {reason for table, reason in lost_by(world, arm, NEW) if table == pages} for arm in ARMS}
    assert reasons["intel_3.10"] == {NO_EVENT}
    assert reasons["intel_4.18"] == reasons["intel_5.10"] == reasons["intel_6.12"] == {OTHER_TEXT}
    assert reasons["intel_6.1"] == set()
    assert reasons["intel_7.1"] == {MOVED}
    assert {reason for table, reason in lost_by(world, "intel_6.1", DEBIAN) if table == pages} == {NOT_BUILT}
    assert ("mc_event", "kept by the firmware, which handles errors first") in lost_by(world, "firmware", NEW)
    assert lost_by(world, "no_recovery", NEW)["mce_record", PANIC] > 0
    assert not [1 for _, _, found in world.records("firmware", NEW) for _, table, _ in found.records
                if table == "mc_event"]  # fmt: skip


def test_signals_other_than_sigbus_are_stored_by_none(world):
    for _, _, found in world.records("intel_6.1", NEW):
        for _, table, values in found.records:
            assert table != "signal_event" or values[1] == 7
    killed = next(
        (life, kind) for _, life, kind in world.hosts("intel_6.1") if rows_of(life, "signals")
    )  # a run has few
    life = [(table, row | {"signal": "SIGKILL", "code": "SI_KERNEL"} if table == "signals" else row)
            for table, row in killed[0]]  # fmt: skip
    found = rasdaemon.records(life, killed[1], 1, 0, collector=NEW, at_most=FEW)
    assert found.lost["signal_event", "signals other than SIGBUS"] == len(rows_of(life, "signals"))


WRONG = {
    "4.18": (1, 16, 21), "5.10": (0, 18, 23), "6.1": (16, 0, 20), "6.12": (18, 4, 20), "7.1": (19, 5, 21),
}  # fmt: skip
"""Texts that the collectors of 0.6.5 to 0.8.0 and of 0.8.1 to 0.8.5 store wrongly, and texts of the kernel: second
reading of the enumerations, without the code of 6.11 and later that no line has."""


@pytest.mark.parametrize("kernel", WRONG)
def test_page_types_are_stored_under_the_texts_of_the_release(kernel):
    rules = switches_of(kernel)
    known = rasdaemon_texts(kernel)
    wrong = [sum(stored_page_type(one, rules, text) != text for text in known) for one in (DEBIAN, NEW)]
    assert (*wrong, len(known)) == WRONG[kernel]
    assert all(stored_page_type(COMPLETE, rules, text) == text for text in known)


def rasdaemon_texts(kernel):
    from analysis.records.collectors import _RANGES, _read

    rows = [row for row in _read("rasdaemon_page_types.csv") if row["kernel"] == _RANGES[kernel]]
    texts = [row["kernel_means"] for row in rows if not row["kernel_means"].startswith("(")]
    spoken = {one.text for one in PageType} | {"already poisoned", "different compound page after locking"}
    assert set(texts) <= spoken | {"huge page already hardware poisoned"}
    return texts


def test_a_dirty_page_of_6_1_is_stored_as_another_by_old_releases():
    rules = switches_of("6.1")
    assert stored_page_type(DEBIAN, rules, "dirty LRU page") == "dirty unevictable LRU page"
    assert stored_page_type(NEW, switches_of("6.12"), "huge page") == "different compound page after locking"


def test_a_disk_has_no_panics_and_counts_them(world):
    lost = Counter()
    for _, found in world.log("no_mca", NEW):
        assert not any("Kernel panic" in line for _, line in found.lines)
        lost.update(found.lost)
    panics = sum(row["kind"] == "panic" for _, life, _ in world.hosts("no_mca") for row in rows_of(life, "lifecycle"))
    assert lost["panics", PANIC] == panics > 0


def test_lines_are_limited_as_the_kernel_does_it():
    limited = kernel_log._Limited("x", "f")
    second = 1_000_000_000
    assert [list(limited.lines(at * second)) for at in (0, 1, 2, 60, 61, 122)] == [
        ["x"], ["x"], [], [], ["f: 2 callbacks suppressed", "x"], ["x"],
    ]  # fmt: skip


def boots_of(lines):
    """The lines of each boot."""
    text = "\n".join(line.partition("kernel: ")[2] for _, line in lines)
    return [part.splitlines() for part in text.split("Linux version ")[1:]]


def test_a_boot_begins_limits_and_numbers_anew(world):
    said, numbered = 0, 0
    for arm in ("intel_6.1", "firmware"):
        for life, kind in ((life, kind) for _, life, kind in world.hosts(arm)):
            for at, lines in enumerate(boots_of(kernel_log.log_lines(life, "h", kind, 1, 0).lines)):
                logged = [line for line in lines if "events logged" in line or "suppressed" in line]
                assert not any("suppressed" in line for line in logged[: kernel_log.LOGGED_AT_ONCE])
                numbers = [int(line[1 : line.index("}")]) for line in lines if "from APEI" in line]
                assert numbers == [*range(1, len(numbers) + 1)]
                said += bool(at and logged)
                numbered += bool(at and numbers)
    assert said
    assert numbered


def test_records_do_not_depend_on_the_nodes_that_are_asked_for(world):
    hosts = hosts_of(world.fleet, "intel_6.1")
    alone = dict(lives(world.run, "intel_6.1", [3, 41]))
    for node, life in lives(world.run, "intel_6.1"):
        if node in alone:
            assert rasdaemon.records(life, hosts.kind(node), 1, 0) == rasdaemon.records(
                alone[node], hosts.kind(node), 1, 0
            )
