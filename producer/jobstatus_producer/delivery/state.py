"""The named states of the delivery."""

from __future__ import annotations

from enum import Enum, auto


class Route(Enum):
    """The way of a new event."""

    DIRECT = auto()
    """to the Kafka client; the backlog is empty"""
    DRAINING = auto()
    """to the end of the backlog, which the sender drains"""
    BLOCKED = auto()
    """as DRAINING, and the sender's last attempt failed"""


class Phase(Enum):
    """How far the producer's life has come."""

    OPEN = auto()
    CLOSING = auto()
    """calls raise; what was accepted is still sent"""
    CLOSED = auto()
    """nothing is sent any more"""
    PROCESS_ENDING = auto()
    """as CLOSING, by a signal that ends the process: calls do not return"""
    PROCESS_ENDED = auto()
    """as CLOSED, by a signal that ends the process: calls do not return"""
