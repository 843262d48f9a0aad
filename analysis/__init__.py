"""Reading runs: rates, intervals, paired effects of policies. Simulates nothing."""

from analysis.dataset.run import Run, open_run

__all__ = ["Run", "open_run"]
