"""A scenario with the changes of the command line applied."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

from fleet.scenario.decode import decode
from fleet.scenario.document import apply_setting, items, parse, parse_value, read_text
from fleet.scenario.fleet import ARMS_MAX, Document, Fleet
from fleet.scenario.own_policies import with_sources
from fleet.scenario.sysctls import move_sysctls
from node_sim.errors import ConfigError
from node_sim.guesses import one_of


def _pair(text: str, option: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        msg = f"{option} {text}: expected KEY=VALUE; add what is missing"
        raise ConfigError(msg)
    return key.strip(), value.strip()


def _split_values(text: str) -> list[str]:
    """Split at commas outside brackets, braces and quotes."""
    values, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == '"'
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0 and not quoted:
            values.append("")
        else:
            values[-1] += character
    return [value.strip() for value in values]


def _name_part(value: str) -> str:
    """Return what of a value can stand in the name of an arm: values of kernel switches have spaces and colons."""
    return "".join(character if character.isalnum() or character in "_-+.=" else "_" for character in value)


def _axes(sweeps: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the swept settings, each with its values by the text that names them.

    Raises:
        ConfigError: A setting or a value is there twice, two values would have one name, or there are too many arms;
            all mistakes at once. The grid is not made before.
    """
    axes: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for key, text in (_pair(sweep, "--sweep") for sweep in sweeps):
        if key in axes:
            problems.append(f"--sweep {key}: given twice, expected once; put all its values into one")
        texts = _split_values(text)
        values = axes[key] = {}
        if len(texts) > ARMS_MAX:
            problems.append(f"--sweep {key}: {len(texts):,} values, expected at most {ARMS_MAX}; leave some out")
            continue
        names: dict[str, str] = {}
        for value in texts:
            read, name = parse_value(key, value), _name_part(value)
            same = next((old for old, was in values.items() if was == read or names[old] == name), None)
            if same is not None:
                problems.append(f"--sweep {key}: {value!r} after {same!r}, expected values that differ; leave one out")
            values[value], names[value] = read, name
    n_arms = math.prod(map(len, axes.values()))
    if n_arms > ARMS_MAX:
        problems.append(f"--sweep: {n_arms:,} arms, expected at most {ARMS_MAX}; leave some values out")
    if problems:
        raise ConfigError("\n".join(problems))
    return axes


def _sweep_arms(sweeps: tuple[str, ...]) -> Document:
    """Make an arm of every combination of swept values."""
    axes, arms = _axes(sweeps), {}
    for chosen in product(*(values.items() for values in axes.values())):
        pairs = [(key, text, value) for key, (text, value) in zip(axes, chosen, strict=True)]
        name = "+".join(f"{key.rsplit('.', 1)[-1]}={_name_part(text)}" for key, text, _ in pairs)
        if name in arms:
            msg = f"--sweep: two arms of the name {name}, expected one of each; sweep settings whose names differ"
            raise ConfigError(msg)
        arms[name] = {"set": {key: value for key, _, value in pairs}}
    return arms


def _chosen_arms(label: str, arms: tuple[str, ...], known: Document) -> Document:
    """Return the arms asked for.

    Raises:
        ConfigError: There are none of that name, or one is asked for twice.
    """
    missing = [arm for arm in arms if arm not in known]
    if missing:
        lines = (f"{label}: --arm {arm}: {one_of(arm, known) if known else 'expected none'}" for arm in missing)
        raise ConfigError("\n".join(lines))
    if len(set(arms)) < len(arms):
        msg = f"{label}: --arm {', '.join(arms)}: one is given twice, expected each once; leave it out"
        raise ConfigError(msg)
    return {arm: known[arm] for arm in arms}


def load_fleet(
    name: str,
    overrides: dict[str, Any],
    settings: tuple[str, ...],
    arms: tuple[str, ...],
    sweeps: tuple[str, ...],
    policies: tuple[str, ...] = (),
) -> Fleet:
    """Read a scenario and apply the command line to it."""
    label, text = read_text(name)
    document = parse(label, text)
    move_sysctls(document)
    for key, value in overrides.items():
        if value is not None:
            document[key] = value
    for setting in settings:
        key, value = _pair(setting, "--set")
        apply_setting(document, key, parse_value(key, value))
    if sweeps:
        document["arm"] = _sweep_arms(sweeps)
    if arms:
        document["arm"] = _chosen_arms(label, arms, dict(items(document.get("arm"))))
    if policies:
        document["arm"] = _with_policies(dict(items(document.get("arm"))) or {"default": {}}, policies)
    typed = {"--set": settings, "--sweep": sweeps, "--arm": arms, "--policy": policies}
    changes = tuple(f"{option} {text}" for option, texts in typed.items() for text in texts)
    return with_sources(replace(decode(label, document), changes=changes))


def _with_policies(arms: Document, policies: tuple[str, ...]) -> Document:
    """Add an arm for each policy of one's own, named after its function, or its module where that name is taken."""
    found = dict(arms)
    for policy in policies:
        module, _, function = policy.partition(":")
        if not function:
            msg = f"--policy {policy}: expected 'module:function', as in 'analysis.own_policies:risky'"
            raise ConfigError(msg)
        names = (function, f"{module}.{function}")
        free = [name for name in names if name not in found]
        if not free:
            msg = f"--policy {policy}: there are arms {' and '.join(names)} already; leave one out"
            raise ConfigError(msg)
        found[free[0]] = {"set": {"own_policy.function": policy}}
    return found
