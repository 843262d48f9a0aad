"""When samples are taken: at the start of the run, step by step, and at its end; and what time they are given."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.records import Ints
from node_sim.units import NS_PER_S


class SampleGrid(NamedTuple):
    """The samples of a history, numbered from 0.

    A sample shows what has happened by its time. The first is of the start, and shows nothing: what happens at that
    very time is seen in the next.

    Attributes:
        horizon_ns: Time of the last sample [ns since the start], > 0.
        step_s: Time between samples; the last may come earlier.
        end_s: Time that the last sample is given [s since 1970].
    """

    horizon_ns: int
    step_s: int
    end_s: int

    @property
    def horizon_s(self) -> int:
        """Whole seconds that the history spans."""
        return -(-self.horizon_ns // NS_PER_S)

    @property
    def step_ns(self) -> int:
        """Time between samples; a longer one than the history is as long as it."""
        return min(self.step_s, self.horizon_s) * NS_PER_S

    @property
    def last(self) -> int:
        """Number of the last sample."""
        return -(-self.horizon_ns // self.step_ns)

    @property
    def samples(self) -> int:
        """How many there are."""
        return self.last + 1

    @property
    def start_s(self) -> int:
        """Time that the first sample is given [s since 1970]."""
        return self.end_s - self.horizon_s

    def time_ns(self, sample: int) -> int:
        """Return when a sample is taken [ns since the start]."""
        return min(sample * self.step_ns, self.horizon_ns)

    def stamps_s(self, first: int, end: int) -> list[int]:
        """Return what times the samples from one to before another are given [s since 1970]."""
        step_s = self.step_ns // NS_PER_S
        found = list(range(self.start_s + first * step_s, self.start_s + end * step_s, step_s))
        return [*found[:-1], self.end_s] if end == self.samples else found

    def first_after(self, time_ns: Ints) -> Ints:
        """Return the first sample that shows what happens at each time."""
        found: Ints = np.clip(-(-time_ns // self.step_ns), 1, self.last)
        return found
