"""How a command line is wrong, in our words: what click found, where, what was expected, and where to read on."""

from __future__ import annotations

import click

from node_sim.guesses import nearest, one_of


def usage_complaint(error: click.ClickException) -> str:
    """Return a complaint for a mistake in a command line."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    see = f"; see '{context.command_path} --help'" if context is not None else ""
    return f"{_what(error, context)}{see}"


def _what(error: click.ClickException, context: click.Context | None) -> str:
    """Say where the mistake is, what is there and what was expected."""
    if isinstance(error, click.NoSuchOption):
        return _no_such_option(error, context)
    if isinstance(error, click.BadOptionUsage):
        takes = "does not take" not in error.message
        return f"{error.option_name}: {'no value, expected one' if takes else 'a value, expected none'}"
    if isinstance(error, click.MissingParameter):
        return f"{_name(error)}: missing, expected {_expected(error.param)}"
    if isinstance(error, click.BadParameter):
        return f"{_name(error)}: {_bad_value(error)}"
    if isinstance(error, click.UsageError) and (command := getattr(error, "command_name", None)):
        group = context.command if context is not None else None
        known = group.list_commands(context) if isinstance(group, click.Group) and context is not None else ()
        return f"{command}: no such command, {one_of(command, known)}"
    if ", expected " in error.message:
        return error.message
    before, _, after = error.format_message().rstrip(").").partition("(")
    what = before.strip().replace("Got unexpected extra arguments", "extra arguments").replace("Got unexpected", "an")
    return f"{after or 'command line'}: {what}, expected none"


def _no_such_option(error: click.NoSuchOption, context: click.Context | None) -> str:
    options = [one for param in context.command.params for one in param.opts] if context is not None else []
    guess = nearest(error.option_name, options)
    return f"{error.option_name}: no such option{f', did you mean {guess}?' if guess else ''}"


def _name(error: click.BadParameter) -> str:
    """Name an option by its longest form, an argument as the help does."""
    param = error.param
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.human_readable_name if param is not None else "command line"


def _bad_value(error: click.BadParameter) -> str:
    """Say what a value is and was expected to be; what our own types say is left as it is."""
    value, found, _ = error.message.rpartition(" is not ")
    if not found or error.param is None or ", expected " in error.message:
        return error.message
    if isinstance(error.param.type, click.Choice):
        return f"{value}, {one_of(value.strip(chr(39)), error.param.type.choices)}"
    return f"{value}, expected {_expected(error.param)}"


def _expected(param: click.Parameter | None) -> str:
    """Say what a parameter takes."""
    kind = param.type if param is not None else None
    if isinstance(kind, click.IntRange | click.FloatRange):
        noun = "a whole number" if isinstance(kind, click.IntRange) else "a number"
        low, high = (None if end is None else f"{end:,}".removesuffix(".0") for end in (kind.min, kind.max))
        return f"{noun} of {low} or more" if high is None else f"{noun} from {low} to {high}"
    if isinstance(kind, type(click.INT)):
        return "a whole number"
    if isinstance(kind, type(click.FLOAT)):
        return "a number"
    return param.metavar or "a value" if isinstance(param, click.Option) else "a name"
