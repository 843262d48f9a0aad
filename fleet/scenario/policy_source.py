"""The text of a policy of one's own, as a run ships it to its workers."""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class PolicySource(NamedTuple):
    """A policy as text.

    Attributes:
        name: ``module:function``.
        path: File of the module, for messages.
        text: What it says.
    """

    name: str
    path: str
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()
