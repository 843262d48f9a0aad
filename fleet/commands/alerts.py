"""The command that judges alert rules against the errors that a run knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fleet.commands.folder import Folder
from fleet.commands.paths import UsablePath
from fleet.commands.printing import print_json, say_fitted
from fleet.inputs import read_input
from node_sim.errors import ConfigError

if TYPE_CHECKING:
    from fleet.stored.store import RunStore

_TRUTHS: Final = ("ue", "panic", "kill")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(\d{1,9})([smhdw])")
_YEAR_S: Final = 31_557_600
_HUNDRED: Final = 100
_BYTES_MAX: Final = 10_000_000
_SAMPLE_MAX: Final = 10_000_000


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A time as Prometheus writes it, of one unit, in seconds."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read 90s, 15m, 1h, 30d or 2w."""
        if isinstance(value, int):
            return value
        found = _DURATION.fullmatch(str(value))
        seconds = int(found[1]) * _UNIT_S[found[2]] if found else 0
        if not 1 <= seconds <= _HUNDRED * _YEAR_S:
            self.fail(f"{value!r}, expected a number with s, m, h, d or w, as 30d, from 1 s to 100 years", param, ctx)
        return seconds


def _check_readable(rules: Path) -> None:
    """Check that a file of rules can be read: promtool would read a device for ever.

    Raises:
        ConfigError: It cannot, or is too large.
    """
    try:
        size = len(read_input(rules, _BYTES_MAX))
    except OSError as error:
        msg = f"{rules}: {error.strerror}, expected a file of rules; check the path"
        raise ConfigError(msg) from None
    if size > _BYTES_MAX:
        msg = f"{rules}: more than {_BYTES_MAX:,} bytes, expected a file of rules; check the path"
        raise ConfigError(msg)


@click.command("alerts")
@click.argument("folder", metavar="DIR", type=Folder())
@click.option("--rules", type=UsablePath(), required=True, metavar="FILE", help="Rules of Prometheus.")
@click.option(
    "--truth",
    type=click.Choice(_TRUTHS),
    default="ue",
    show_default=True,
    help="What alerts are to warn of, the first of each node: an uncorrected error, a kernel panic, a killed process.",
)
@click.option("--lead", type=Duration(), default="30d", show_default=True, help="How long before it an alert counts.")
@click.option(
    "--interval", type=Duration(), default="1m", show_default=True, help="Of evaluations, for groups that set none."
)
@click.option(
    "--scrape", type=Duration(), default="15s", show_default=True, help="Of scrapes; intervals are multiples."
)
@click.option(
    "--sample",
    type=click.IntRange(0, _SAMPLE_MAX),
    default=300,
    show_default=True,
    help="Nodes to draw of those with events, but without what alerts are to warn of.",
)
@click.option(
    "--prometheus", type=UsablePath(), metavar="PATH", help="Prometheus, or its folder; promtool is beside it."
)
@click.option("--arm", metavar="NAME", help="Arm.  [default: the first]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def alerts_command(  # noqa: PLR0913, PLR0917 - one argument per option
    folder: RunStore,
    rules: Path,
    truth: str,
    lead: int,
    interval: int,
    scrape: int,
    sample: int,
    prometheus: Path | None,
    arm: str | None,
    as_json: bool,
) -> None:
    """Judge alert rules on what the nodes of a run would have shown.

    Series of node_exporter, scraped at their true times, go into a Prometheus of its own, which evaluates each alerting
    rule; 'for' and 'keep_firing_for' are applied as it does. Told are alerted nodes, pages, how many alerts were right,
    how many events were warned of, and how long before.

    All nodes with a truth event are judged, and samples of the others, weighted. Needs prometheus and promtool (apt-get
    install prometheus). Minutes; functions that weigh samples, as avg_over_time(), and subqueries take many more.
    """
    from analysis.alerts.engine import find_programs
    from analysis.alerts.shown import study_document, study_lines
    from analysis.alerts.study import StudySettings, study_rules
    from analysis.dataset.run import open_run
    from fleet.commands.hosts import hosts_of
    from fleet.run import open_plan
    from node_sim.units import NS_PER_S

    if interval % scrape:
        msg = f"--interval: {interval} s, expected a multiple of --scrape, {scrape} s; change one of them"
        raise ConfigError(msg)
    _check_readable(rules)
    programs = find_programs(prometheus)
    run = open_run(folder)
    chosen = run.arms[0 if arm is None else run.check_arm(arm)]
    fleet, _ = open_plan(folder)
    settings = StudySettings(chosen, truth, lead * NS_PER_S, interval * NS_PER_S, scrape * NS_PER_S, sample)
    study = study_rules(run, hosts_of(fleet, chosen), rules, programs, settings)
    if as_json:
        print_json("alerts", study_document(study))
    else:
        say_fitted(study_lines(study))
