"""Policies of one's own: found by name, tried, shipped as source text and loaded as modules.

The driver reads the file of the module and hands its text to all workers, so that every process of a run, on whichever
machine, runs the same policy, and a plan can name it by its hash. What the file imports has to be there on the worker.
"""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

from fleet.inputs import read_input
from fleet.scenario.fleet import Fleet
from fleet.scenario.guarded import Guarded, last_line
from fleet.scenario.own_process import EndedError, Printed, Watch, run_apart
from fleet.scenario.policy_source import PolicySource
from node_sim.errors import ConfigError
from node_sim.orders import PolicyFunction

SIZE_MAX = 4 << 20
"""Bytes of a file with policies."""


def hashes_of(fleet: Fleet) -> dict[str, str]:
    """Return the hashes of the policies of a fleet, by name."""
    return {source.name: source.sha256 for source in fleet.sources}


def names_in(fleet: Fleet) -> dict[str, float]:
    """Return the policies that a fleet's arms name, each with the longest time that one of them gives a node [s]."""
    found: dict[str, float] = {}
    for group in fleet.groups:
        for own in (policy.own_policy for policy in group.policies):
            if own.function:
                found[own.function] = max(own.seconds_per_node, found.get(own.function, 0.0))
    return found


def with_sources(fleet: Fleet) -> Fleet:
    """Return a fleet with the text of all policies that its arms name.

    Raises:
        ConfigError: One of them cannot be found or is no function.
    """
    names = names_in(fleet)
    if not names:
        return fleet
    found, problems = [], []
    if (here := str(Path.cwd())) not in sys.path:  # workers get the same
        sys.path.insert(0, here)
    for name in names:
        try:
            found.append(_try(name))
        except ConfigError as error:
            problems.append(f"own_policy.function = {name}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return replace(fleet, sources=tuple(found))


def _try(name: str) -> PolicySource:
    """Read a policy and load it in a process of its own, which a file that exits or prints when it is imported may do.

    Raises:
        ConfigError: There is no such policy, or its file cannot be imported.
    """
    watch = Watch()

    def read_and_load() -> PolicySource:
        watch.enter(-1)
        try:
            source = _read(name)
            _load(source)
        except KeyboardInterrupt:  # Ctrl-C is the parent's; this is the file's own
            msg = "importing it raised KeyboardInterrupt, expected functions to be defined and no more; mend the file"
            raise ConfigError(msg) from None
        watch.leave()
        return source

    try:
        return run_apart(read_and_load, watch, Printed(f"own_policy.function = {name}"))
    except EndedError as error:
        msg = f"importing it {error}, expected functions to be defined and no more; mend the file"
        raise ConfigError(msg) from None


def _read(name: str) -> PolicySource:
    """Read the module of a policy; the working folder is looked at first, as Python does with a script.

    Raises:
        ConfigError: There is no such module, or it is not a Python file.
    """
    module, colon, function = name.partition(":")
    if not (colon and function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        msg = "expected 'module:function', as in 'analysis.own_policies:risky'"
        raise ConfigError(msg)
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        spec = None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the package around it is imported, and is the user's
        msg = f"the package of {module} cannot be imported: {last_line(error, '')}; mend it"
        raise ConfigError(msg) from None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        msg = f"no module {module} in {Path.cwd()} or among the installed ones; run in its folder, or set PYTHONPATH"
        raise ConfigError(msg)
    try:
        content = read_input(Path(spec.origin), SIZE_MAX)
        text = content.decode("utf-8")
    except OSError as error:
        msg = f"{spec.origin}: {error.strerror}, expected a Python file; mend it"
    except UnicodeDecodeError:
        msg = f"{spec.origin}: not UTF-8, expected a Python file; mend it"
    else:
        if len(content) <= SIZE_MAX:
            return PolicySource(name, spec.origin, text)
        msg = f"{spec.origin}: more than {SIZE_MAX >> 20} MiB, expected a Python file; mend it"
    raise ConfigError(msg)


@cache
def _load(source: PolicySource) -> PolicyFunction:
    """Run the text of a module under its name and return its function.

    Raises:
        ConfigError: It fails, or has no such function.
    """
    name, _, function = source.name.partition(":")
    module = ModuleType(name)
    module.__file__, module.__package__ = source.path, name.rpartition(".")[0]
    try:
        exec(compile(source.text, source.path, "exec"), module.__dict__)  # noqa: S102 - the user asks for it
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a user's file raises is the user's mistake
        msg = f"{source.path} cannot be imported: {last_line(error, source.path)}"
        raise ConfigError(msg) from None
    found = getattr(module, function, None)
    if not callable(found):
        mine = (key for key, value in vars(module).items() if getattr(value, "__module__", "") == name)
        known = ", ".join(key for key in mine if not key.startswith("_"))
        msg = f"{source.path} has no function {function}, expected {f'one of {known}' if known else 'some'}"
        raise ConfigError(msg)
    policy: PolicyFunction = found
    return policy


def functions_of(fleet: Fleet) -> Mapping[str, PolicyFunction]:
    """Return the policies of a fleet as functions, by name; they raise ``PolicyError`` only.

    Raises:
        ConfigError: One of them cannot be loaded on this machine.
    """
    seconds = names_in(fleet)
    with redirect_stdout(io.StringIO()):  # what is printed on import was shown when the file was tried
        return {source.name: Guarded(source, _load(source), seconds[source.name]) for source in fleet.sources}
