"""The commands about one kernel and one page: inject and conform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fleet.commands import completion
from fleet.commands.gates import leaving_if
from fleet.commands.paths import UsablePath
from fleet.commands.printing import print_json, say, say_fitted
from fleet.printable import typed
from node_sim.catalog.kernels import DEFAULT_PROFILE, PROFILE_NAMES
from node_sim.errors import ConfigError

_PROFILES = ", ".join(PROFILE_NAMES)


def _pairs(_context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str] | None:
    """Split NAME=VALUE options."""
    wrong = [text for text in texts if "=" not in text]
    names = [text.partition("=")[0] for text in texts]
    problems = [f"{option.opts[0]} {text}: expected NAME=VALUE" for text in wrong]
    problems += [f"{option.opts[0]} {name}: given twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if problems:
        raise ConfigError("\n".join(problems))
    return dict(text.split("=", 1) for text in texts) if texts else None


_SWITCH = click.option(
    "--switch",
    "switches",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_pairs,
    shell_complete=completion.switches,
    help="Set a switch of the profile otherwise, for kernels between the profiles; repeatable.",
)


@click.command("inject")
@click.option(
    "--page",
    metavar="NAME",
    default="anonymous",
    show_default=True,
    help="Page use and state; see --list.",
    shell_complete=completion.pages,
)
@click.option(
    "--kernel",
    "kernel_name",
    metavar="PROFILE",
    default=DEFAULT_PROFILE,
    show_default=True,
    help=f"{_PROFILES}.",
    shell_complete=completion.kernels,
)
@click.option(
    "--event",
    metavar="NAME",
    default="ao",
    show_default=True,
    help="How the error comes; see --list.",
    shell_complete=completion.events,
)
@click.option(
    "--process",
    "processes",
    multiple=True,
    metavar="POLICY[:SIGBUS]",
    help="A process mapping the page: unset|early|late[:handler|default|blocked|ignored]; repeatable. More threads: "
    "unset+early; with signal masks of their own: unset+early:blocked+open, unset+early:handler+blocked.  "
    "[default: unset:default]",
)
@click.option("--early-kill", is_flag=True, help="vm.memory_failure_early_kill = 1.")
@click.option("--no-recovery", is_flag=True, help="vm.memory_failure_recovery = 0.")
@click.option("--no-soft-offline", is_flag=True, help="vm.enable_soft_offline = 0, which profiles from 6.12 on have.")
@click.option("--no-memory-failure", is_flag=True, help="A kernel without CONFIG_MEMORY_FAILURE.")
@click.option("--no-mca-recovery", is_flag=True, help="Hardware that cannot report recoverable errors.")
@click.option("--firmware-first", is_flag=True, help="The firmware hides the records of the memory controller.")
@click.option(
    "--no-safe-copies",
    is_flag=True,
    help="A CPU without fast string copies: no copy is safe but those from user space.",
)
@click.option(
    "--tolerant", type=click.IntRange(0, 3), default=1, show_default=True, help="The knob of kernels <= 5.17."
)
@click.option(
    "--filter",
    "filters",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_pairs,
    help="Switch the injection filter on: dev-major, dev-minor, flags-mask, flags-value, memcg=in|out; repeatable.",
)
@_SWITCH
@click.option(
    "--then",
    metavar="LIST",
    default="",
    help="What happens next, e.g. read,pread,fsync; see --list.",
    shell_complete=completion.accesses,
)
@click.option("--list", "show_list", is_flag=True, help="List page states, events, accesses, kernels and switches.")
@click.option("--rules", "show_rules", is_flag=True, help="List every rule with kernel file and function.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def inject_command(show_list: bool, show_rules: bool, as_json: bool, **options: Any) -> None:
    """Show what the kernel would do with a bad page, step by step.

    It prints each step with the rule that decided it, the kernel log, signals, and what processes see later.
    """
    from node_sim.one_page.events import MachineFacts
    from node_sim.one_page.inject import inject, inject_lines, list_document, list_lines, rule_lines

    if show_list and as_json:
        print_json("inject-list", list_document(options["kernel_name"]))
        return
    if show_list or show_rules:
        say_fitted(list_lines(options["kernel_name"]) if show_list else rule_lines())
        return
    found = inject(
        options["page"],
        kernel_name=options["kernel_name"],
        event=options["event"],
        processes=options["processes"] or ("unset",),
        early_kill=options["early_kill"],
        recovery=not options["no_recovery"],
        enable_soft_offline=not options["no_soft_offline"],
        facts=MachineFacts(
            not options["no_memory_failure"],
            not options["no_mca_recovery"],
            options["tolerant"],
            not options["no_safe_copies"],
            options["firmware_first"],
        ),
        filters=options["filters"],
        then=tuple(filter(None, options["then"].split(","))),
        switches=options["switches"],
    )
    if as_json:
        print_json("inject", found)
    else:
        say_fitted(inject_lines(found))


@click.command("conform")
@click.argument("table", type=UsablePath(), required=False, shell_complete=completion.recordings)
@click.option(
    "--kernel",
    metavar="PROFILE",
    shell_complete=completion.kernels,
    help=f"{_PROFILES}.  [default: of a builtin recording the kernel it was made on]",
)
@click.option("--predict", "inputs", type=UsablePath(), help="Predict the rows of this file instead.")
@click.option("-o", "--output", "out", type=UsablePath(), help="Where --predict writes: a new file.")
@_SWITCH
@click.option("--columns", "show_columns", is_flag=True, help="List the columns of a recording, and the builtin ones.")
@click.option("-v", "--verbose", is_flag=True, help="Name the rows that match, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def conform_command(as_json: bool, verbose: bool, show_columns: bool, **options: Any) -> None:
    """Hold the hwpoison handler against a recording of a real kernel.

    TABLE is a CSV file or builtin:NAME, one that comes with the program. Every row of it is predicted from its input
    columns alone, then compared. Exit code 3: some rows differ, or none could be compared. Exit code 0: all rows that
    could be compared match; it is about these rows alone, so a file from which others were cut, or whose notes were
    changed, still matches.
    """
    from fleet.conform import conform, conform_lines, not_modelled_lines, write_predictions
    from fleet.recorded import column_lines, columns_document

    if show_columns:
        if as_json:
            print_json("columns", columns_document())
        else:
            say_fitted(column_lines())
        return
    table, inputs, out = options["table"], options["inputs"], options["out"]
    if (table is None) == (inputs is None) or (inputs is None) != (out is None):
        msg = "conform: expected either TABLE, or --predict INPUTS and -o OUT"
        raise ConfigError(msg)
    kernel = _kernel_of(options["kernel"], table or inputs)
    if inputs is not None:
        left_out = write_predictions(inputs, out, kernel, options["switches"])
        if as_json:
            print_json("prediction", {"written": str(out), "not_modelled": left_out})
            return
        for line in not_modelled_lines(left_out):
            say(line, err=True)
        say(f"wrote {typed(out)}")
        return
    found = conform(table, kernel, options["switches"])
    with leaving_if(bool(found.mismatched or not found.matched)):
        if as_json:
            print_json("conform", found.to_json())
        else:
            say("\n".join(conform_lines(found, verbose=verbose)))


def _kernel_of(given: str | None, recording: Path) -> str:
    """Return the profile to predict with.

    Raises:
        ConfigError: It is not given, and the recording does not tell.
    """
    from fleet.recorded import profile_of

    kernel = given or profile_of(recording)
    if kernel is None:
        msg = f"--kernel: missing, expected PROFILE, one of {_PROFILES}; see 'hwpoison-fleet conform --help'"
        raise ConfigError(msg)
    return kernel
