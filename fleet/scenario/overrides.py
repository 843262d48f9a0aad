"""A scenario with the changes of the command line applied."""

from __future__ import annotations

from itertools import product
from typing import Any

from fleet.scenario.decode import decode
from fleet.scenario.document import apply_setting, parse, parse_value, read_text
from fleet.scenario.fleet import Document, Fleet
from fleet.scenario.own_policies import with_sources
from node_sim.errors import ConfigError


def _pair(text: str, option: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        msg = f"{option} {text}: expected KEY=VALUE"
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


def _sweep_arms(sweeps: tuple[str, ...]) -> Document:
    """Make an arm of every combination of swept values."""
    axes = [(key, _split_values(values)) for key, values in (_pair(sweep, "--sweep") for sweep in sweeps)]
    arms = {}
    for values in product(*(choices for _, choices in axes)):
        pairs = [(key, value) for (key, _), value in zip(axes, values, strict=True)]
        name = "+".join(f"{key.rsplit('.', 1)[-1]}={_name_part(value)}" for key, value in pairs)
        arms[name] = {"set": {key: parse_value(key, value) for key, value in pairs}}
    return arms


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
    for key, value in overrides.items():
        if value is not None:
            document[key] = value
    for setting in settings:
        key, value = _pair(setting, "--set")
        apply_setting(document, key, parse_value(key, value))
    if sweeps:
        document["arm"] = _sweep_arms(sweeps)
    if arms:
        known = document.get("arm", {})
        missing = [arm for arm in arms if arm not in known]
        if missing:
            msg = f"{label}: --arm {', '.join(missing)}: expected some of {', '.join(known) or 'no arm'}"
            raise ConfigError(msg)
        document["arm"] = {arm: known[arm] for arm in arms}
    if policies:
        document["arm"] = _with_policies(document.get("arm") or {"default": {}}, policies)
    return with_sources(decode(label, document))


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
