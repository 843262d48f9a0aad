"""Lives of nodes under arms: uncorrected errors, machine checks, the handler, kills, panics and repairs.

**Models.** A lane is one node under one set of arms. One step takes the earliest event of every lane: the touch of a
bad page, a late kill, an I/O error, or the corrected error or report that reaches a limit; the lookup tables of the
machine check and the handler decide; follow-ups are scheduled.

**Leaves out.** Events of one node within the delay of the memory_failure work see each other's outcome at once.

**Assumes.** Load is bounded by mechanism: one asynchronous record per bank until it is read, 16 queued pages,
and the cordon.

**Sources.** ``machine_check.py``, ``hwpoison/``, ``repair.py``.
"""

from __future__ import annotations

import numpy as np

from node_sim.catalog.kernels import PROFILE_NAMES
from node_sim.catalog.numbers import QUEUE_ENTRIES
from node_sim.codes import (
    CheckAction,
    CpuContext,
    ErrorKind,
    Fate,
    IoCall,
    KillPolicy,
    LifecycleReason,
    Observer,
    OnSigbus,
    PageUse,
    SignalCode,
    SignalName,
    Timing,
)
from node_sim.draws import Tag, split64, unit32, words
from node_sim.errors import ModelError
from node_sim.hwpoison.outcome_table import STATE_CODES, CallKind, Outcomes, Signal, handler_table, signal_rows
from node_sim.lives.policies import PPR_SOFT, PolicyColumns
from node_sim.lives.repair import Aftermath, AtLimit, Touches
from node_sim.lives.rows import EventLog
from node_sim.lives.state import LaneState, Pending
from node_sim.machine_check.grades import look_up
from node_sim.memory.pages import Tenancy
from node_sim.memory.processes import NOBODY
from node_sim.memory.sightings import masked_tenancy, next_owner_access
from node_sim.records import NULL, Flags, Ints, join, take
from node_sim.units import FOREVER, PAGE_BYTES

STEPS_MAX = 10_000
EIO = -5

COPYABLE = np.asarray(
    [
        use
        in (
            PageUse.ANONYMOUS,
            PageUse.THP,
            PageUse.HUGETLB,
            PageUse.FILE_CLEAN_MAPPED,
            PageUse.FILE_DIRTY_MAPPED,
            PageUse.TMPFS,
            PageUse.MLOCKED,
            PageUse.KSM,
            PageUse.SWAPCACHE_DIRTY,
            PageUse.SWAPCACHE_CLEAN,
        )
        for use in PageUse
    ]
)
"""Uses whose pages the kernel reads by copy-from-user; page cache pages are read by plain copies."""


class Lives:
    """Runs the lanes of one call to the horizon and logs their events."""

    def __init__(self, state: LaneState, policies: PolicyColumns, log: EventLog) -> None:
        """Prepare to run lanes whose state is given; ``policies`` is indexed by the lanes' arm sets."""
        self.state = state
        self.log = log
        self.policies = policies
        self.handler = handler_table(tuple(PROFILE_NAMES[place] for place in np.unique(policies.profile)))
        self.aftermath = Aftermath(state, policies, log)
        self.steps = 0

    def run(self) -> None:
        """Advance all lanes to the horizon.

        Raises:
            ModelError: A lane took more than ``STEPS_MAX`` steps.
        """
        state = self.state
        live = np.arange(state.pages.lane.size)
        while True:
            known = state.pages.lane.size
            due = np.full(state.node_id.size, FOREVER)
            np.minimum.at(due, state.pages.lane[live], state.pages.next_ns[live])
            np.minimum.at(due, state.pending.lane, state.pending.time_ns)
            np.minimum(due, state.limit_ns, out=due)
            active = np.flatnonzero(due < state.world.horizon_ns)
            if not active.size:
                return
            self.steps += 1
            if self.steps > STEPS_MAX:
                node = int(state.node_id[active[0]])
                msg = (
                    f"node {node}: more than {STEPS_MAX} events, expected the cordon to end them; "
                    f"set repair.cordon.ue or lower the rates"
                )
                raise ModelError(msg)
            busy = self._pending_step(due)
            touched = self._touch_step(due, live, busy)
            busy[touched.lane] = True
            self._limit_step(due, busy)
            state.look_on(touched.which, touched.time_ns)
            live = np.concatenate((live, np.arange(known, state.pages.lane.size)))
            live = self._still_live(live, due)

    def _still_live(self, live: Ints, now_ns: Ints) -> Ints:
        """Keep pages that can still be touched in this boot or a later one, given the time of each lane."""
        state = self.state
        fault = state.store.pages.fault[state.pages.page[live]]
        revivable = state.store.stays[fault] | (state.store.faults.time_ns[fault] > now_ns[state.pages.lane[live]])
        coming = state.pages.next_ns[live] < state.world.horizon_ns
        place = state.pages.place[live]
        in_place = (state.places.removed_ns[place] == FOREVER) | (state.places.ppr[place] == PPR_SOFT)
        kept: Ints = live[coming | (revivable & in_place)]
        return kept

    # ---- things that were pending -------------------------------------------------------------------------------

    def _pending_step(self, due: Ints) -> Flags:
        """Handle at most one pending thing per lane; return which lanes had one."""
        state = self.state
        busy = np.zeros(state.node_id.size, np.bool_)
        ready = np.flatnonzero(
            (state.pending.time_ns == due[state.pending.lane]) & (state.pending.time_ns < state.world.horizon_ns)
        )
        if not ready.size:
            return busy
        lanes, first = np.unique(state.pending.lane[ready], return_index=True)
        chosen = ready[first]
        things = state.pending.take(chosen)
        keep = np.ones(state.pending.lane.size, np.bool_)
        keep[chosen] = False
        state.pending = state.pending.take(keep)
        busy[lanes] = True
        lost = things.take(~things.late)
        self.log.add(
            "io_errors",
            lane=lost.lane,
            time_ns=lost.time_ns,
            fault=lost.fault,
            cause=lost.cause,
            pfn=lost.pfn,
            call=np.full(lost.lane.size, int(IoCall.FSYNC)),
            errno=np.full(lost.lane.size, EIO),
        )
        late = things.take(things.late)
        name = np.full(late.lane.size, int(SignalName.SIGBUS))
        code = np.full(late.lane.size, int(SignalCode.MCEERR_AR))
        timing = np.full(late.lane.size, int(Timing.LATE))
        self._signal(late, name, code, timing, late.time_ns)
        return busy

    def _signal(self, to: Pending, name: Ints, code: Ints, timing: Ints, now_ns: Ints) -> None:
        """Signal the owners; those that die lose their memory from now on."""
        state = self.state
        processes = state.world.memory.processes
        dies = (code == SignalCode.KERNEL) | (processes.on_sigbus[to.owner] == OnSigbus.DIE)
        self.log.add(
            "signals",
            lane=to.lane,
            time_ns=to.time_ns,
            fault=to.fault,
            cause=to.cause,
            process_class=processes.kind[to.owner],
            process=to.owner,
            signal=name,
            code=code,
            timing=timing,
            lsb=np.where(code == SignalCode.KERNEL, 0, to.lsb),
            fate=np.where(dies, int(Fate.KILLED), int(Fate.HANDLED)),
        )
        if not dies.any():
            return
        lane, owner = to.lane[dies], to.owner[dies]
        state.killed_ns[lane, owner] = to.time_ns[dies]
        waits = state.pending
        died = np.full(state.node_id.size, NULL)
        died[lane] = owner
        state.pending = waits.take(~(waits.late & (died[waits.lane] == waits.owner)))
        state.stirred_ns[lane] = now_ns[dies]

    # ---- limits of faults ----------------------------------------------------------------------------------------

    def _limit_step(self, due: Ints, busy: Flags) -> None:
        """Cordon the lanes one of whose faults reaches a limit now, unless something else happened to them."""
        state = self.state
        ready = np.flatnonzero((state.limit_ns == due) & (due < state.world.horizon_ns) & ~busy)
        if ready.size:
            self.aftermath.replace(ready, AtLimit(state.limit_place[ready], state.limit_reason[ready]), due[ready])

    # ---- touches of bad pages -----------------------------------------------------------------------------------

    def _touch_step(self, due: Ints, live: Ints, busy: Flags) -> Touches:
        """Handle at most one touch per lane; return the touches."""
        state, pages = self.state, self.state.pages
        lane = pages.lane[live]
        ready = live[(pages.next_ns[live] == due[lane]) & (due[lane] < state.world.horizon_ns) & ~busy[lane]]
        _, first = np.unique(pages.lane[ready], return_index=True)
        which = ready[first]
        bad = pages.page[which]
        touches = Touches(
            which=which,
            lane=pages.lane[which],
            time_ns=pages.next_ns[which],
            page=bad,
            fault=state.store.pages.fault[bad],
            observer=pages.observer[which],
            mark=pages.mark[which],
        )
        healed = touches.observer == Observer.WRITE
        silent = ~healed & state.store.pages.silent[bad]
        self._retire(touches.which[healed])
        self._log_first_sight(touches.take(silent), ErrorKind.SDC)
        self._retire(touches.which[silent])
        loud = touches.take(~healed & ~silent)
        if loud.which.size:
            self._uncorrected(loud)
        return touches

    def _retire(self, which: Ints) -> None:
        """Let bad pages rest until the next boot."""
        self.state.pages.dead[which] = True
        self.state.pages.next_ns[which] = FOREVER

    def _log_first_sight(self, touches: Touches, kind: ErrorKind) -> None:
        """Log errors not seen since the last boot."""
        state = self.state
        n = touches.which.size
        pfn = state.store.pages.pfn[touches.page]
        state.pages.error[touches.which] = self.log.add(
            "errors",
            lane=touches.lane,
            time_ns=touches.time_ns,
            fault=touches.fault,
            cause=-1 - touches.fault,
            kind=np.full(n, int(kind)),
            observer=touches.observer,
            ce_count=np.full(n, NULL),
            n_pages=np.ones(n, np.int64),
            first_pfn=pfn,
            first_time_ns=touches.time_ns,
            last_time_ns=touches.time_ns,
        )
        state.pages.seen[touches.which] = True

    def _uncorrected(self, touches: Touches) -> None:
        """Report uncorrected errors: first sight, machine check, handling, cordon."""
        state = self.state
        fresh = ~state.pages.seen[touches.which]
        new = touches.take(fresh)
        self._log_first_sight(new, ErrorKind.UE)
        state.ue_count[new.lane] += 1
        state.had_ue[new.lane, state.store.faults.box.slot[new.fault]] = True
        error = state.pages.error[new.which]
        state.places.accuse(state.pages.place[new.which], error, int(LifecycleReason.DIMM_HAD_UE))
        bank = state.world.address_map.slot_channel(state.store.faults.box.slot[touches.fault])
        overflow = state.bank_busy_ns[touches.lane, bank] > touches.time_ns
        consumed = (touches.observer == Observer.USER) | (touches.observer == Observer.KERNEL)
        overflow &= ~(consumed & self.policies.firmware_first[state.arm_set[touches.lane]])
        tenancy, _ = masked_tenancy(
            state.world.memory, state.store.frames.take(touches.page), touches.time_ns, state.mask(touches.lane)
        )
        grade = self._grade(touches, tenancy.use, overflow)
        lost = overflow & ~consumed & (grade["action"] != CheckAction.PANIC)
        end_ns = touches.time_ns.copy()
        down_ns = np.full(touches.which.size, NULL)
        reported = np.flatnonzero(~lost)
        if reported.size:
            part = {name: column[reported] for name, column in grade.items()}
            end, down = self._report(
                touches.take(reported), part, bank[reported], overflow[reported], take(tenancy, reported)
            )
            end_ns[reported], down_ns[reported] = end, down
        self.aftermath.cordon(touches, end_ns, down_ns)

    def _grade(self, touches: Touches, use: Ints, overflow: Flags) -> dict[str, Ints]:
        """Grade the machine checks of touches."""
        arm = self.state.arm_set[touches.lane]
        policies = self.policies
        copies = COPYABLE[use] & (touches.mark < policies.copy_share[arm])
        device_fatal = touches.mark < policies.device_fatal_share[arm]
        return look_up(policies.grades, arm, touches.observer, copies, device_fatal, overflow)

    def _report(
        self, touches: Touches, grade: dict[str, Ints], bank: Ints, overflow: Flags, tenancy: Tenancy
    ) -> tuple[Ints, Ints]:
        """Log machine checks and act on them; return when each is done and until when the node is down (-1: up)."""
        state = self.state
        arm = state.arm_set[touches.lane]
        action = grade["action"].copy()
        queued = np.flatnonzero(action == CheckAction.QUEUE)
        asynchronous = grade["context"] == CpuContext.NONE
        delay = np.where(asynchronous, self.policies.delay_ns[arm], 0)
        latency = delay + self._work_latency(touches, grade)
        arrived = touches.time_ns + delay
        full = self._enqueue(touches.lane[queued], arrived[queued], (touches.time_ns + latency)[queued])
        action[queued[full]] = CheckAction.QUEUE_FULL
        check = self.log.add(
            "machine_checks",
            lane=touches.lane,
            time_ns=touches.time_ns,
            fault=touches.fault,
            cause=state.pages.error[touches.which],
            severity=grade["severity"],
            bank=bank,
            cpu_context=grade["context"],
            overflow=overflow,
            pfn=state.store.pages.pfn[touches.page],
            action=action,
        )
        state.bank_busy_ns[touches.lane, bank] = np.where(
            asynchronous, touches.time_ns + self.policies.busy_ns[arm], state.bank_busy_ns[touches.lane, bank]
        )
        end_ns = touches.time_ns.copy()
        down_ns = np.full(touches.which.size, NULL)
        dead = np.flatnonzero(action == CheckAction.PANIC)
        down_ns[dead] = self.aftermath.panic(
            touches.take(dead), touches.time_ns[dead], check[dead], grade["reason"][dead]
        )
        handled_at = touches.time_ns + latency
        calls = (action == CheckAction.QUEUE) | (action == CheckAction.ACTION_REQUIRED)
        some = np.flatnonzero(calls & (handled_at < state.world.horizon_ns))
        if some.size:
            end_ns[some] = handled_at[some]
            required = action[some] == CheckAction.ACTION_REQUIRED
            copied = grade["context"][some] == CpuContext.KERNEL_COPY
            event = np.where(copied, int(CallKind.KERNEL_COPY), np.where(required, int(CallKind.ACTION_REQUIRED), 0))
            down_ns[some] = self._handle(touches.take(some), event, take(tenancy, some), check[some], handled_at[some])
        return end_ns, down_ns

    def _work_latency(self, touches: Touches, grade: dict[str, Ints]) -> Ints:
        """Draw the delay of the memory_failure work; none for what runs before the task goes on [ns]."""
        state = self.state
        low, high = split64(touches.time_ns)
        draw, _, _, _ = words(state.store.frames.page_key.take(touches.page), low, high, int(Tag.LATENCY))
        mean = self.policies.latency_ns[state.arm_set[touches.lane]]
        delay = (-np.log(unit32(draw)) * mean).astype(np.int64)
        return np.where(grade["context"] == CpuContext.NONE, delay, 0)

    def _enqueue(self, lane: Ints, arrived_ns: Ints, done_ns: Ints) -> Flags:
        """Put pages into the queue of each lane, each until it is handled; return which found it full."""
        state = self.state
        slot = state.queue_next[lane]
        full = state.queue_ns[lane, slot] > arrived_ns
        fits = ~full
        state.queue_ns[lane[fits], slot[fits]] = done_ns[fits]
        state.queue_next[lane[fits]] = (slot[fits] + 1) % QUEUE_ENTRIES.value
        return full

    def _handle(self, touches: Touches, event: Ints, tenancy: Tenancy, check: Ints, time_ns: Ints) -> Ints:
        """Run memory_failure() on pages; return until when the node is down (-1: up)."""
        state, policies = self.state, self.policies
        arm = state.arm_set[touches.lane]
        processes = state.world.memory.processes
        owned = tenancy.owner != NOBODY
        policy = np.where(owned, processes.kill_policy[np.maximum(tenancy.owner, 0)], int(KillPolicy.UNSET))
        splits = tenancy.splits < policies.thp_split_p[arm]
        outcome = self.handler.look_up(
            policies.profile[arm],
            STATE_CODES[tenancy.use, splits.astype(np.intp)],
            event,
            policy,
            policies.early_kill[arm],
            policies.recovery[arm],
            state.pages.poisoned[touches.which],
        )
        down_ns = np.full(touches.which.size, NULL)
        panics = outcome["panic"] == 1
        reason = np.full(int(panics.sum()), int(LifecycleReason.RECOVERY_OFF))
        down_ns[panics] = self.aftermath.panic(touches.take(panics), time_ns[panics], check[panics], reason)
        calm = np.flatnonzero(~panics)
        if calm.size:
            self._settle(touches.take(calm), outcome[calm], take(tenancy, calm), check[calm], time_ns[calm])
        return down_ns

    def _settle(self, touches: Touches, outcome: Outcomes, tenancy: Tenancy, check: Ints, time_ns: Ints) -> None:
        """Log what the handler did and send its signals."""
        state = self.state
        withdrawn = outcome["withdrawn"] == 1
        released = withdrawn | ((outcome["signal"] != Signal.NONE) & (state.pages.poisoned[touches.which]))
        pfn = state.store.pages.pfn[touches.page]
        handled = self.log.add(
            "memory_failures",
            lane=touches.lane,
            time_ns=time_ns,
            fault=touches.fault,
            cause=check,
            pfn=pfn,
            page_use=tenancy.use,
            page_type=outcome["page_type"].astype(np.int64),
            result=outcome["result"].astype(np.int64),
            errno=outcome["errno"].astype(np.int64),
            latency_ns=time_ns - touches.time_ns,
            lost_bytes=np.where(released, PAGE_BYTES, 0),
        )
        state.pages.poisoned[touches.which] = True
        self._retire(touches.which[released])
        owner = np.where(tenancy.owner != NOBODY, tenancy.owner, 0)
        late = (outcome["late"] == 1) & (tenancy.owner != NOBODY)
        things = Pending(
            touches.lane, time_ns, late, owner, outcome["lsb"].astype(np.int64), touches.fault, pfn, handled
        )
        self._schedule_late(touches, things)
        self._schedule_eio(touches, things, outcome["eio"] == 1)
        sent = signal_rows(outcome, tenancy.owner != NOBODY)
        to = things.take(sent.which)
        self._signal(to, sent.signal, sent.code, sent.timing, touches.time_ns[sent.which])

    def _schedule_late(self, touches: Touches, things: Pending) -> None:
        """Schedule the late kill at the owner's next access to the page."""
        state = self.state
        some = np.flatnonzero(things.late)
        if not some.size:
            return
        lane, after = things.lane[some], things.time_ns[some]
        limit = np.full(some.size, state.world.horizon_ns)
        frames = state.store.frames.take(touches.page[some])
        at = next_owner_access(state.world.memory, frames, after, limit, state.mask(lane))
        waits = things.take(some)._replace(time_ns=at)
        self._wait(waits.take(at < state.world.horizon_ns))

    def _schedule_eio(self, touches: Touches, things: Pending, eio: Flags) -> None:
        """Schedule the I/O error of a lost dirty file page at the next fsync."""
        state = self.state
        some = np.flatnonzero(eio)
        if not some.size:
            return
        low, high = split64(touches.time_ns[some])
        draw, _, _, _ = words(state.store.frames.page_key.take(touches.page[some]), low, high, int(Tag.FSYNC))
        mean = self.policies.fsync_ns[state.arm_set[things.lane[some]]]
        at = things.time_ns[some] + (-np.log(unit32(draw)) * mean).astype(np.int64)
        off = np.zeros(some.size, np.bool_)
        self._wait(things.take(some)._replace(time_ns=at, late=off))

    def _wait(self, things: Pending) -> None:
        waiting = self.state.pending
        self.state.pending = join([waiting, things])
