"""Numbers of signals and of their codes.

**Sources.** Linux on x86: include/uapi/asm-generic/signal.h and siginfo.h.
"""

from __future__ import annotations

from typing import Final

from node_sim.codes import SignalCode, SignalName

NUMBERS: Final = {SignalName.SIGBUS.text: 7, SignalName.SIGKILL.text: 9}
CODES: Final = {SignalCode.MCEERR_AR.text: 4, SignalCode.MCEERR_AO.text: 5, SignalCode.KERNEL.text: 128}
