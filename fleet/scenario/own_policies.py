"""Policies of one's own: found by name, shipped as source text, run as modules, and kept within their time.

The driver reads the file of the module and hands its text to all workers, so that every process of a run, on whichever
machine, runs the same policy, and a plan can name it by its hash. What the file imports has to be there on the worker.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import FrameType, ModuleType

from fleet.scenario.fleet import Fleet
from fleet.scenario.policy_source import PolicySource
from node_sim.errors import ConfigError, PolicyError
from node_sim.orders import Interest, KnownNode, Order, PolicyFunction, RecordArray, interest_of
from node_sim.records import Flags


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
    for name in names:
        try:
            source = _read(name)
            _load(source)
        except ConfigError as error:
            problems.append(f"own_policy.function = {name}: {error}")
        else:
            found.append(source)
    if problems:
        raise ConfigError("\n".join(problems))
    return replace(fleet, sources=tuple(found))


def _read(name: str) -> PolicySource:
    """Read the module of a policy; the working folder is looked at first, as Python does with a script.

    Raises:
        ConfigError: There is no such module, or it is not a Python file.
    """
    module, colon, function = name.partition(":")
    if not (colon and function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        msg = "expected 'module:function', as in 'analysis.own_policies:risky'"
        raise ConfigError(msg)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the package around it is imported, and is the user's
        msg = f"the package of {module} cannot be imported: {_last_line(error, '')}; mend it"
        raise ConfigError(msg) from None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        msg = f"no module {module} in {here} or among the installed ones; run in its folder, or set PYTHONPATH"
        raise ConfigError(msg)
    try:
        return PolicySource(name, spec.origin, Path(spec.origin).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{spec.origin}: {error}; mend the file"
        raise ConfigError(msg) from None


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
        msg = f"{source.path} cannot be imported: {_last_line(error, source.path)}"
        raise ConfigError(msg) from None
    found = getattr(module, function, None)
    if not callable(found):
        mine = (key for key, value in vars(module).items() if getattr(value, "__module__", "") == name)
        known = ", ".join(key for key in mine if not key.startswith("_"))
        msg = f"{source.path} has no function {function}, expected {f'one of {known}' if known else 'some'}"
        raise ConfigError(msg)
    policy: PolicyFunction = found
    return policy


def _last_line(error: BaseException, path: str) -> str:
    """Say what was raised, and in which line of a file, in one line."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no text'}{where}"


def functions_of(fleet: Fleet) -> Mapping[str, PolicyFunction]:
    """Return the policies of a fleet as functions, by name; they raise ``PolicyError`` only."""
    seconds = names_in(fleet)
    return {source.name: Guarded(source, seconds[source.name]) for source in fleet.sources}


class _OutOfTimeError(BaseException):
    """The calls for one node have taken too long."""


def _raise_out_of_time(_number: int, _frame: FrameType | None) -> None:
    raise _OutOfTimeError


class Guarded:
    """A policy that names the node when it fails, and may take so much processor time for one node."""

    def __init__(self, source: PolicySource, seconds: float) -> None:
        """Guard a policy."""
        self.source, self.seconds = source, seconds
        self.policy = _load(source)
        self.node_id, self.left = -1, seconds
        interest = interest_of(self.policy)
        if interest is not None:
            self.interest = self._guarded_interest(interest)

    def _guarded_interest(self, interest: Interest) -> Interest:
        """Return what the policy looks at, with its failures named."""

        def ask(errors: RecordArray) -> Flags:
            try:
                return interest(errors)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - as in __call__
                text = f"what it looks at raised {_last_line(error, self.source.path)}"
                raise PolicyError(self.source.name, -1, text) from None

        return ask

    def __call__(self, node: KnownNode) -> Sequence[Order] | None:
        """Call the policy.

        Raises:
            PolicyError: It has raised, taken too long, or returned what is no list.
        """
        if node.node_id != self.node_id:
            self.node_id, self.left = node.node_id, self.seconds
        timed = threading.current_thread() is threading.main_thread()
        try:
            if timed:
                self._start()
            found = self.policy(node)
        except _OutOfTimeError:
            text = f"took more than own_policy.seconds_per_node = {self.seconds:g} s of processor time"
            raise PolicyError(self.source.name, node.node_id, text) from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a user's function raises is its mistake
            text = f"raised {_last_line(error, self.source.path)}"
            raise PolicyError(self.source.name, node.node_id, text) from None
        finally:
            if timed:
                self.left = signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)[0] or 1e-6
        if found is not None and not isinstance(found, list | tuple):
            text = f"returned {type(found).__name__}, expected a list of orders"
            raise PolicyError(self.source.name, node.node_id, text)
        return found

    def _start(self) -> None:
        """Start the clock."""
        signal.signal(signal.SIGVTALRM, _raise_out_of_time)
        signal.setitimer(signal.ITIMER_VIRTUAL, self.left)
