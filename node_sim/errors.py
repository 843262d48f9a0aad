"""Exceptions of the project: one class for each thing a caller can do about it."""

from __future__ import annotations


class SimError(Exception):
    """Base of all errors this project raises on purpose."""


class ConfigError(SimError, ValueError):
    """A scenario or an argument is wrong; the user edits something (exit code 2)."""


class ModelError(SimError):
    """Valid input, but outside what the model covers; the user asks for less (exit code 2)."""


class DataError(SimError):
    """Files are not what their manifest says; stop, do not analyse (exit code 4)."""


class ExecutionError(SimError):
    """A shard could not be completed (exit code 1)."""


class PolicyError(ExecutionError):
    """A policy of the user's own failed on a node (exit code 1)."""

    def __init__(self, function: str, node_id: int, text: str) -> None:
        """Say which policy failed on which node, and how."""
        super().__init__(function, node_id, text)
        self.function, self.node_id, self.text = function, node_id, text

    def __str__(self) -> str:
        """Return one line; what a policy looks at is asked of many nodes at once (-1)."""
        node = f"node {self.node_id}: " if self.node_id >= 0 else ""
        return f"own_policy.function = {self.function}: {node}{self.text}"


class TransientError(ExecutionError):
    """A worker was lost or a store was full; worth a bounded retry."""
