"""Settings of the kernel: its profile, switches in which it differs from that, and sysctls."""

from __future__ import annotations

from dataclasses import dataclass

from node_sim.catalog import numbers
from node_sim.catalog.kernels import (
    DEFAULT_PROFILE,
    PROFILE_NAMES,
    PROFILES,
    find_profile,
    kernel_advice,
    read_switches,
)
from node_sim.catalog.profile import Profile
from node_sim.errors import ConfigError
from node_sim.server.settings import Checked, check_settings, setting


@dataclass(frozen=True)
class Kernel(Checked):
    """Kernel profile, switches in which a kernel differs from it, and sysctls."""

    profile: str = setting(DEFAULT_PROFILE, "Kernel version.", choices=PROFILE_NAMES, advice=kernel_advice)
    switches: tuple[tuple[str, str], ...] = setting(
        (),
        "Switches of the profile that are set otherwise, for kernels between the profiles: texts of values by name "
        "(a table in a scenario); those that have the profile's own value are left out.",
        role="choice",
    )
    memory_failure: bool = setting(True, "CONFIG_MEMORY_FAILURE.")
    memory_failure_early_kill: int = setting(0, "vm.memory_failure_early_kill.", low=0, high=1, role="sysctl")
    memory_failure_recovery: int = setting(1, "vm.memory_failure_recovery; 0 panics.", low=0, high=1, role="sysctl")
    enable_soft_offline: int = setting(
        1,
        "vm.enable_soft_offline; 0 refuses to take pages offline. Profiles from 6.12 on.",
        low=0,
        high=1,
        role="sysctl",
    )
    thp_split_p: float = setting(numbers.THP_SPLIT_P, "Probability that a huge page can be split.", low=0.0, high=1.0)
    fsync_s: float = setting(numbers.FSYNC_S, "Mean time to the next fsync of a damaged file.", low=0.001, high=1e8)

    def __post_init__(self) -> None:
        """Check all settings, forget switches that have the profile's own value, and order the others by name."""
        problems, changes = [], {}
        try:
            check_settings(self)
        except ConfigError as error:
            problems.append(str(error))
        try:
            changes = read_switches(dict(self.switches), "switches.")
        except ConfigError as error:
            problems.extend(str(error).splitlines())
        if problems:
            raise ConfigError("; ".join(problems))
        own = PROFILES[self.profile]
        kept = sorted((name, str(value)) for name, value in changes.items() if value != getattr(own, name))
        object.__setattr__(self, "switches", tuple(kept))
        if not self.enable_soft_offline and not self.rules.has_enable_soft_offline:
            since = next(name for name in PROFILE_NAMES if PROFILES[name].has_enable_soft_offline)
            msg = (
                f"enable_soft_offline = 0, expected 1 with profile = {self.profile!r}: this kernel has no "
                f"vm.enable_soft_offline (choose {since} or later, or set switches.has_enable_soft_offline = true)"
            )
            raise ConfigError(msg)

    @property
    def rules(self) -> Profile:
        """The profile with the switches set: what everything that depends on the kernel asks."""
        return find_profile(self.profile, dict(self.switches))
