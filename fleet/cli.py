"""The command line: one table of commands, each loaded when it is asked for, and what errors turn into.

It is the composition root: only commands, and only when they run, reach up to the analysis.
"""

from __future__ import annotations

import os
import signal
import sys

# Before NumPy is loaded, here and in workers: OpenBLAS's threads would spin for 30 ms after each of our small products,
# a sixth of the processor time of a run on two workers.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from typing import Any, Final, NoReturn, TextIO

import click

from fleet.commands.printing import Output, OutputError, say, shortened
from fleet.commands.usage import usage_complaint
from fleet.interruption import interrupted_when_asked, was_terminated
from fleet.shortage import naming_shortage
from node_sim.errors import ConfigError, DataError, ModelError, SimError

_STDERR: Final = 2
EXIT_FAILED, EXIT_USAGE, EXIT_DATA, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 4, 130, 143
_ENDED: Final = {EXIT_INTERRUPTED: "interrupted", EXIT_TERMINATED: "terminated"}
_SHOW_CURSOR: Final = "\r\x1b[2K\x1b[?25h"
"""A terminal, after a bar of progress that has no time to go: the line is empty, the cursor is seen."""


def _simulate() -> tuple[click.Command, ...]:
    from fleet.commands.run import resume_command, run_command

    return run_command, resume_command


def _results() -> tuple[click.Command, ...]:
    from fleet.commands.results import replay_command, summary_command

    return summary_command, replay_command


def _compare() -> tuple[click.Command, ...]:
    from fleet.commands.compare import compare_command

    return (compare_command,)


def _report() -> tuple[click.Command, ...]:
    from fleet.commands.report import report_command

    return (report_command,)


def _kernel() -> tuple[click.Command, ...]:
    from fleet.commands.kernel import conform_command, inject_command

    return inject_command, conform_command


def _deploy() -> tuple[click.Command, ...]:
    from fleet.commands.deploy import deploy_command

    return (deploy_command,)


def _dram() -> tuple[click.Command, ...]:
    from fleet.commands.dram import dram_command

    return (dram_command,)


def _scenario() -> tuple[click.Command, ...]:
    from fleet.commands.scenario import scenario_group

    return (scenario_group,)


def _tables() -> tuple[click.Command, ...]:
    from fleet.commands.tables import tables_command

    return (tables_command,)


def _export() -> tuple[click.Command, ...]:
    from fleet.commands.export import export_command

    return (export_command,)


def _serve() -> tuple[click.Command, ...]:
    from fleet.commands.serve import serve_command

    return (serve_command,)


def _schema() -> tuple[click.Command, ...]:
    from fleet.commands.schema import schema_command

    return (schema_command,)


def _figures() -> tuple[click.Command, ...]:
    from fleet.commands.figures import figures_command

    return (figures_command,)


def _check() -> tuple[click.Command, ...]:
    from fleet.commands.check import check_command

    return (check_command,)


def _alerts() -> tuple[click.Command, ...]:
    from fleet.commands.alerts import alerts_command

    return (alerts_command,)


COMMANDS: Final[dict[str, Callable[[], tuple[click.Command, ...]]]] = {
    "alerts": _alerts,
    "check": _check,
    "compare": _compare,
    "conform": _kernel,
    "deploy": _deploy,
    "dram": _dram,
    "export": _export,
    "figures": _figures,
    "inject": _kernel,
    "replay": _results,
    "report": _report,
    "resume": _simulate,
    "run": _simulate,
    "scenario": _scenario,
    "schema": _schema,
    "serve": _serve,
    "summary": _results,
    "tables": _tables,
}
"""Every command, and what loads the commands of its subject."""
SENTENCES: Final = {
    "alerts": "Judge alert rules on what the nodes of a run would have shown.",
    "check": "Check a run against closed forms of its scenario.",
    "compare": "Compare every arm with a baseline, paired node by node.",
    "conform": "Hold the hwpoison handler against a recording of a real kernel.",
    "deploy": "Write the files to deploy with: Prometheus, alerts, Kubernetes.",
    "dram": "Tell how reliable one DIMM design is, without a kernel.",
    "export": "Write a finished run in a format that other programs read.",
    "figures": "Draw a finished run: one file per figure.",
    "inject": "Show what the kernel would do with a bad page, step by step.",
    "replay": "Simulate one node of a run again, alone, and tell its life.",
    "report": "Write a report of a finished run that people read.",
    "resume": "Finish an interrupted run, or mend one.",
    "run": "Simulate a fleet under one or several policies.",
    "scenario": "List, show, cite, copy and check scenarios.",
    "schema": "Print the JSON Schema of a KIND of document that --json prints.",
    "serve": "Serve a fleet that lives: what node_exporter would show.",
    "summary": "Print rates, ratios and paired effects of a finished run.",
    "tables": "Print what every column holds.",
}
"""What each command does, in a line of a terminal: the help of the program loads no command to say it."""
COMPLETING: Final = "_HWPOISON_FLEET_COMPLETE"
"""Set by a shell that asks for completions."""
COMMITTING: Final = ("run", "resume")
"""Commands that commit what they have done, so that there is something to resume."""
_KEPT: Final = "; what is committed is kept, 'hwpoison-fleet resume' goes on"


def _fail(message: str, code: int) -> NoReturn:
    """Print an error and leave."""
    for line in shortened(message):
        say(f"error: {line}", err=True)
    sys.exit(code)


def _say_usage(error: click.ClickException) -> None:
    """Print how a command line is wrong; a group of commands alone is answered with its help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        say(error.format_message(), err=True)
        return
    for line in shortened(usage_complaint(error)):
        say(f"error: {line}", err=True)


def _drop(stream: TextIO | None) -> None:
    """Print what a stream still holds; what it does not take is dropped, or the interpreter would try again."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _occupy_standard_files() -> None:
    """Open on nothing what is closed of the three standard files, or a file of a run would get what is printed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)


def _complete_as_bash_splits() -> None:
    """Have click take our completion for bash, before it chooses one."""
    from click.shell_completion import add_completion_class

    from fleet.commands.completion import SplitAtEquals

    add_completion_class(SplitAtEquals)


class _Guarded(click.Group):
    """Loads commands by name, and turns errors of ours and Ctrl-C into messages and exit codes."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Name all commands."""
        return list(COMMANDS)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say what each command does."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SENTENCES.items()))

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in COMMANDS:
            return None
        return next(command for command in COMMANDS[cmd_name]() if command.name == cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is asked for; all of them are loaded only to suggest one for a name that is none."""
        if args and args[0] not in COMMANDS:
            self.commands = {
                name: command for load in COMMANDS.values() for command in load() if (name := command.name)
            }
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command line as a program."""
        code: Any = EXIT_FAILED
        _occupy_standard_files()
        if COMPLETING in os.environ:
            _complete_as_bash_splits()
        words: Sequence[str] = (args[0] if args else extra.get("args")) or ()
        try:
            if any("\0" in word for word in words):
                _fail("command line: a NUL in it, expected text, as no program can be given one; mend it", EXIT_USAGE)
            with redirect_stdout(Output(sys.stdout)) if sys.stdout else nullcontext():
                code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.Abort:
            code = EXIT_INTERRUPTED
        except click.ClickException as error:
            _say_usage(error)
            code = error.exit_code
        except OutputError as error:
            if not isinstance(error.__cause__, BrokenPipeError):
                say(f"error: stdout: {error}, expected to print there; make room, or print elsewhere", err=True)
        finally:
            _drop(sys.stdout)
            _drop(sys.stderr)
        sys.exit(code or 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""

        def commits() -> bool:
            return ctx.invoked_subcommand in COMMITTING

        def leave(number: int, last: Callable[[], None]) -> NoReturn:
            code = EXIT_TERMINATED if number == signal.SIGTERM else EXIT_INTERRUPTED
            try:
                if sys.stderr is not None and sys.stderr.isatty():
                    sys.stderr.write(_SHOW_CURSOR)
                _fail(f"{_ENDED[code]}{_KEPT * commits()}", code)
            finally:
                last()
                os._exit(code)

        try:
            with interrupted_when_asked(leave), naming_shortage("this machine", commits):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            code = EXIT_TERMINATED if was_terminated() else EXIT_INTERRUPTED
            _fail(f"{_ENDED[code]}{_KEPT * commits()}", code)
        except (ConfigError, ModelError) as error:
            _fail(str(error), EXIT_USAGE)
        except DataError as error:
            _fail(str(error), EXIT_DATA)
        except SimError as error:
            _fail(str(error), EXIT_FAILED)


@click.group(cls=_Guarded, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="hwpoison-fleet", prog_name="hwpoison-fleet")
def main() -> None:
    """Simulate what memory errors do to a fleet of Linux servers, and what another policy would have done.

    Exit codes: 0 ok, 1 run failed, 2 usage or scenario wrong, 3 a gate or check failed (--fail-if,
    check) or rows differ (conform), 4 data unreadable, 130 interrupted, 143 terminated.
    """
