"""The command that checks a run against theory."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from fleet.commands.folder import Folder
from fleet.commands.gates import leaving_if
from fleet.commands.printing import print_json, say_fitted

if TYPE_CHECKING:
    from fleet.stored.store import RunStore


@click.command("check")
@click.argument("folder", type=Folder())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--all", "every", is_flag=True, help="Print laws that hold, too.")
def check_command(folder: RunStore, as_json: bool, every: bool) -> None:
    """Check a run against closed forms of its scenario, and against laws that rows have no exceptions to.

    Numbers of faults by mode, when, where and how they come and grow are compared with published rates, site, ageing
    and frailty; causes, times, counts and codes with laws. The level is shared out (Bonferroni): one healthy run in
    1,000 fails.

    Exit code 3: a check has failed.
    """
    from analysis.checks.check import all_passed, check_run, checks_json
    from analysis.dataset.run import open_run
    from analysis.text.checked import check_lines
    from fleet.run import open_plan

    run = open_run(folder)
    fleet, _ = open_plan(folder)
    hardware = [dataclasses.asdict(group.hardware) for group in fleet.groups]
    codes = [[policy.ecc.code for policy in group.policies] for group in fleet.groups]
    checks = check_run(run, hardware, codes)
    with leaving_if(not all_passed(checks)):
        if as_json:
            print_json("check", checks_json(checks))
        else:
            say_fitted(check_lines(checks, every=every))
