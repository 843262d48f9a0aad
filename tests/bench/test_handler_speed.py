"""How fast the handler is: pages a second on one core, from columns of page use, mapping and policy to event rows."""

import time

import numpy as np
import pytest

from fleet.stored.schema import to_arrow
from node_sim.catalog.kernels import PROFILE_NAMES
from node_sim.codes import Fate, PageUse
from node_sim.columns import TABLES
from node_sim.hwpoison import page_states
from node_sim.hwpoison.handler_table import handler_table, signal_rows
from node_sim.hwpoison.outcomes import CallKind
from node_sim.hwpoison.use_states import STATES, state_codes
from node_sim.one_page.inject import inject

pytestmark = pytest.mark.bench

PAGES = 4_000_000
CHUNK = 32_768


def draw(rng, n):
    """Columns of n bad pages: use, whether a huge page splits, event, policy, sysctls, poisoned before, owned."""
    return {
        "use": rng.integers(0, len(PageUse), n),
        "splits": rng.random(n) < 0.98,
        "event": rng.integers(0, len(CallKind), n),
        "early": rng.random(n) < 0.4,
        "recovery": (rng.random(n) < 0.99).astype(np.int64),
        "earlier": (rng.random(n) < 0.05).astype(np.int64),
        "owned": rng.random(n) < 0.8,
        "profile": rng.integers(0, len(PROFILE_NAMES), n),
    }


def rows_of(table, pages):
    """Columns of memory_failures and of signals, as the lanes make them."""
    state = state_codes()[pages["use"], pages["splits"].astype(np.intp), 0, 0]
    outcome = table.look_up(
        pages["profile"],
        state,
        pages["event"],
        pages["early"],
        pages["recovery"],
        pages["earlier"],
    )
    calm = np.flatnonzero(outcome["panic"] == 0)
    failures = {name: outcome[name][calm] for name in ("page_type", "result", "errno")}
    failures["page_use"] = pages["use"][calm]
    failures["lost_bytes"] = outcome["lost_bytes"][calm]
    sent = np.flatnonzero((outcome["signal"] != 0) & pages["owned"])
    return failures, signal_rows(outcome["signal"][sent])


def timed(function, parts):
    """CPU seconds of a function over all parts, best of three."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        for part in parts:
            function(part)
        times.append(time.process_time() - begun)
    return min(times)


def test_pages_a_second():
    rng = np.random.default_rng(1)
    parts = [draw(rng, CHUNK) for _ in range(PAGES // CHUNK)]
    table = handler_table(PROFILE_NAMES)
    n = sum(part["use"].size for part in parts)
    seconds = timed(lambda part: rows_of(table, part), parts)
    made = [rows_of(table, part) for part in parts]
    handled, sent = (sum(sizes) for sizes in zip(*((f["errno"].size, s.which.size) for f, s in made), strict=True))
    print(
        f"\nhandler: {n / seconds / 1e6:.1f} million pages per core-second (goal 5): {n:,} pages to {handled:,} "
        f"rows of memory_failures and {sent:,} of signals; table of {table.size:,} inputs, 7 kernels"
    )


def test_pages_a_second_with_arrow_tables():
    rng = np.random.default_rng(1)
    parts = [draw(rng, CHUNK) for _ in range(PAGES // CHUNK // 4)]
    table = handler_table(PROFILE_NAMES)
    blank = {name: {column.name: np.zeros(CHUNK, np.int64) for column in TABLES[name]} for name in TABLES}

    def tables(part):
        failures, signals = rows_of(table, part)
        size, sent = failures["errno"].size, signals.which.size
        first = {name: column[:size] for name, column in blank["memory_failures"].items()} | failures
        second = {name: column[:sent] for name, column in blank["signals"].items()}
        second |= {name: getattr(signals, name) for name in ("signal", "code", "timing", "lsb")}
        second["fate"] = np.full(sent, int(Fate.KILLED))
        return to_arrow("memory_failures", first), to_arrow("signals", second)

    seconds = timed(tables, parts)
    n = sum(part["use"].size for part in parts)
    print(f"\nhandler to Arrow tables of all columns: {n / seconds / 1e6:.1f} million pages per core-second")


def test_injections_a_second():
    names = [name for name in STATES if page_states.PAGES[name].since != "6.12"]
    begun = time.process_time()
    for name in names * 10:
        inject(name, event="ao", kernel_name="6.1", then=("read",))
    seconds = time.process_time() - begun
    print(f"\ninject: {len(names) * 10 / seconds:,.0f} pages per core-second, with steps and log")
