"""Sysctls by the names that sysctl(8) has for them, where scenarios have them among the settings of the kernel."""

from __future__ import annotations

from typing import Any, Final

from fleet.scenario.fleet import Document

TABLE: Final = "vm"
SYSCTLS: Final = ("memory_failure_early_kill", "memory_failure_recovery", "enable_soft_offline")
_HOME: Final = "kernel"
_BY_KEY: Final = {f"{TABLE}.{name}": f"{_HOME}.{name}" for name in SYSCTLS}


def setting_key(key: str) -> str:
    """Return the key of the setting that a key stands for: of a group, or of one group (``group.NAME.…``)."""
    for sysctl, home in _BY_KEY.items():
        if key == sysctl or (key.startswith("group.") and key.endswith(f".{sysctl}")):
            return key.removesuffix(sysctl) + home
    return key


def move_sysctls(document: Document) -> None:
    """Move sysctls to the settings they stand for, in place, in groups and in arms.

    One that is given under both names stays, and is complained about as a key that is not known.
    """
    for group in _inner(document.get("group")):
        given = group.get(TABLE)
        if not isinstance(given, dict):
            continue
        home = group.setdefault(_HOME, {})
        for name in SYSCTLS:
            if name in given and isinstance(home, dict) and name not in home:
                home[name] = given.pop(name)
        if not given:
            del group[TABLE]
    for arm in _inner(document.get("arm")):
        changes = arm.get("set")
        if isinstance(changes, dict):
            arm["set"] = {
                home if (home := setting_key(key)) not in changes else key: value for key, value in changes.items()
            }


def _inner(section: Any) -> list[Document]:
    """Return the tables of a section, passing over anything else."""
    return [one for one in section.values() if isinstance(one, dict)] if isinstance(section, dict) else []
