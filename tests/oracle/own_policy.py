"""A policy of one's own played the slow way: epoch after epoch on one node, each time with the life so far run anew.

It shares no code with ``lives/known.py``, ``lives/decisions.py`` and ``lives/carry_out.py``; what happens to the node
is ``event_heap.py``'s.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np

from node_sim.codes import LifecycleKind, OfflineResult
from node_sim.draws import Seed
from node_sim.orders import (
    BOOTS,
    ERRORS,
    FAILURES,
    OFFLINES,
    PAGES,
    REPAIRS,
    CordonNode,
    KnownNode,
    Layout,
    OfflinePage,
    OfflineRow,
    Order,
    Others,
    PolicyFunction,
    ReplaceDimm,
    interest_of,
)
from node_sim.server.hardware import Hardware
from node_sim.server.policy import Policy
from node_sim.units import hours_to_ns
from tests.oracle.event_heap import DimmRow, Events, Fault, Life, Ordered, Seen

Record = dict[str, Any]


class Player:
    """One node and the policy on it."""

    def __init__(self, seed: Seed, node: int, hardware: Hardware, policy: Policy, horizon_ns: int) -> None:
        self.args = seed, node, hardware, policy, horizon_ns
        self.node, self.horizon = node, horizon_ns
        self.epoch = hours_to_ns(policy.own_policy.epoch_hours)
        self.orders: list[Ordered] = []
        self.said: list[tuple[int, Order]] = []
        self.interest: Any = None
        self.places: dict[tuple[int, int], dict[str, int]] = {}

    def play(self, function: PolicyFunction) -> Events:
        """Ask the policy at the end of each epoch with news, and return the life that it leads to."""
        now, new = self.epoch, 0
        life = Life(*self.args, self.orders).run()
        self.interest = interest_of(function)
        records = self.records(life)
        news, since = self.news(life, records), 0
        while now < self.horizon:
            down = any(begin < now < end for begin, end in life.downs)
            if not down and bisect_left(news, since) < bisect_left(news, now):
                since = now
                known = [record for record in records if record["told"] <= now]
                found = function(self.show(life, records, known, now, new))
                new = len(known)
                if found:
                    self.accept(found, life, known, now)
                    life = Life(*self.args, self.orders).run()
                    records = self.records(life)
                    news = self.news(life, records)
            now += self.epoch
        in_place = [fault for fault in life.faults if fault.removed_ns is None or fault.time_ns < fault.removed_ns]
        return Events({fault.name: fault for fault in in_place}, life.rows)

    def news(self, life: Life, records: list[Record]) -> list[int]:
        """Return when anything comes to be known."""
        times = [record["seen"][-1].time_ns for record in records] + [end for _, end in life.downs]
        times += [row.time_ns for row in life.rows if row.table == "machine_checks"]
        return sorted(times)

    def records(self, life: Life) -> list[Record]:
        """Put the corrected errors of a life together: those of a hard fault, window, boot and epoch are one."""
        boots = [0, *(end for _, end in life.downs)]
        groups: dict[Any, list[Seen]] = {}
        soft_before: dict[Any, int] = {}
        for one in sorted(life.seen, key=lambda one: one.time_ns):
            boot = bisect_left(boots, one.time_ns + 1)
            of_window = one.fault, one.window, one.scrub, boot
            extra = soft_before.get(of_window, 0) if not one.fault.stays else 0
            soft_before[of_window] = soft_before.get(of_window, 0) + 1
            groups.setdefault((*of_window, one.time_ns // self.epoch, extra), []).append(one)
        found = []
        in_window: dict[Any, int] = {}
        for key, mine in groups.items():
            in_window[key[:4]] = in_window.get(key[:4], 0) + len(mine)
            told = (mine[-1].time_ns // self.epoch + 1) * self.epoch
            row = self.row(life, mine, in_window[key[:4]])
            if self.interest is None or self.interest(row)[0]:
                found.append({"seen": mine, "told": told, "row": row})
        return sorted(found, key=lambda record: (record["told"], record["seen"][-1].time_ns))

    def row(self, life: Life, mine: list[Seen], in_window: int) -> Any:
        """Lay one record out as ``ERRORS``."""
        row = np.zeros(1, ERRORS)
        fault, box = mine[0].fault, mine[0].fault.batch
        row["first_ns"], row["last_ns"], row["count"] = mine[0].time_ns, mine[-1].time_ns, len(mine)
        row["in_window"], row["scrubber"], row["dimm"] = in_window, mine[0].scrub, fault.slot
        for name in ("pfn", "rank", "bank", "row", "column", "device"):
            row[name] = -1
        if fault.values["n_pages"]:
            row["n_pages"] = len({one.page for one in mine})
            row["pins"], row["beats"] = box.cells.pins[fault.index], box.cells.beats[fault.index]
            row["device"] = box.cells.device[fault.index]
            for name, cell in self.place(life, fault, mine[0].page).items():
                row[name] = cell
        return row

    def show(self, life: Life, records: list[Record], known: list[Record], now: int, new: int) -> KnownNode:
        """Show what is known now."""
        errors = np.fromiter((record["row"][0] for record in known), ERRORS, len(known))

        def pages(which: int) -> Any:
            mine: list[Seen] = records[which]["seen"]
            if not mine[0].fault.values["n_pages"]:
                return np.zeros(0, PAGES)
            numbers = list(dict.fromkeys(one.page for one in mine))
            found = np.zeros(len(numbers), PAGES)
            for row, number in zip(found, numbers, strict=True):
                row["count"] = sum(one.page == number for one in mine)
                for name, cell in self.place(life, mine[0].fault, number).items():
                    row[name] = cell
            return found

        return KnownNode(self.node, now, self.layout(life), errors, new, self.others(life, now, pages))

    def place(self, life: Life, fault: Fault, number: int) -> dict[str, int]:
        """Return where the first wrong line of a page of a fault is."""
        if (fault.name, number) not in self.places:
            self.places[fault.name, number] = self.find(life, fault, number)
        return self.places[fault.name, number]

    def find(self, life: Life, fault: Fault, number: int) -> dict[str, int]:
        """Look at all lines of the page."""
        row, pfn, box = life.row_of(fault, number), life.pfn_of(fault, number), fault.batch.box
        lines = life.address_map.place(pfn * 64 + np.arange(64))
        server = life.server
        slot = (lines.socket * server.channels + lines.channel) * server.dimms_per_channel + lines.dimm
        first, n = int(box.line[fault.index]), int(box.n_lines[fault.index])
        inside = (slot == fault.slot) & (lines.rank == row.rank) & (lines.bank == row.bank) & (lines.row == row.row)
        inside &= (lines.line >= first) & (lines.line < first + n)
        return {"pfn": pfn, "rank": row.rank, "bank": row.bank, "row": row.row, "column": int(lines.line[inside].min())}

    def layout(self, life: Life) -> Layout:
        """Return the layout of the node's memory."""
        dimm, window_ns = life.address_map.dimm, hours_to_ns(life.policy.errors.window_hours)
        sizes = dimm.ranks, dimm.devices, dimm.banks, dimm.rows, dimm.lines
        return Layout(life.server.dimms, *sizes, life.address_map.pages, window_ns)

    def others(self, life: Life, now: int, pages: Any) -> Others:
        """Return the records beside corrected errors that there are by now."""
        failures, offlines, repairs, cordons = [], [], [], []
        for row in sorted(life.rows, key=lambda row: row.time_ns):
            values = row.values
            if row.table == "machine_checks" and row.time_ns < now:
                failures.append((row.time_ns, -1 if values["pfn"] is None else values["pfn"], row.fault.slot))
            elif row.table == "page_offlines" and row.time_ns < now:
                gone = values["result"] == OfflineResult.OFFLINED
                offlines.append((row.time_ns, values["pfn"], values["errno"], gone))
            elif row.table == "lifecycle" and values["kind"] == LifecycleKind.DIMM_REPLACEMENT:
                if values["end_ns"] <= now:
                    repairs.append((values["end_ns"], values["dimm"]))
            elif row.table == "lifecycle" and values["kind"] == LifecycleKind.CORDON:
                cordons.append((row.time_ns, values["end_ns"]))
        offlines.sort(key=lambda one: one[:2])
        repairs.sort()
        downs = [(begin, end) for begin, end in life.downs if end <= now]
        return Others(
            np.asarray(failures, FAILURES),
            np.asarray(offlines, OFFLINES),
            np.asarray(downs, BOOTS),
            np.asarray(repairs, REPAIRS),
            cordons,
            self.said,
            pages,
        )

    def accept(self, found: Any, life: Life, known: list[Record], now: int) -> None:
        """Write down what the policy orders, each thing once for a time."""
        for order in found:
            time = now if order.time_ns is None else order.time_ns
            self.said.append((now, order))
            fault, cause_ns = self.cause(order, life, known, now)
            if isinstance(order, OfflinePage):
                about = [("offline", order.pfn)]
            elif isinstance(order, OfflineRow):
                row = DimmRow(order.dimm, order.rank, order.bank, order.row)
                about = [("offline", pfn) for pfn in life.pages_of_row(row)]
            elif isinstance(order, ReplaceDimm):
                about = [("replace", order.dimm)]
            else:
                about = [("cordon" if isinstance(order, CordonNode) else "drain", -1)]
            for kind, target in about:
                if (time, kind, target) not in {one[:3] for one in self.orders}:
                    self.orders.append(Ordered(time, kind, target, fault, cause_ns))

    def cause(self, order: Order, life: Life, known: list[Record], now: int) -> tuple[int, int]:
        """Return the name of the fault, and the time, of the newest error that shows what an order is about."""

        def shows(one: Seen) -> bool:
            where = (
                self.place(life, one.fault, one.page) if one.fault.values["n_pages"] else dict.fromkeys(("pfn",), -1)
            )
            where = where | {"dimm": one.fault.slot}
            names = [name for name in order._fields if name != "time_ns"]
            return all(where.get(name, -1) == getattr(order, name) for name in names)

        for record in reversed(known):
            if shows(record["seen"][0]):
                return record["seen"][0].fault.name, record["seen"][-1].time_ns
        if known:
            return known[-1]["seen"][0].fault.name, known[-1]["seen"][-1].time_ns
        checks = [row for row in life.rows if row.table == "machine_checks" and row.time_ns < now]
        last = max(checks, key=lambda row: row.time_ns)
        return last.fault.name, last.time_ns
