"""Implementations of the ops in `npswin.ops`, and the dispatcher that layers call them through."""

from typing import TYPE_CHECKING

from npswin.backends.dispatcher import (
    allow_tf32,
    capture,
    dispatch,
    get_backend,
    missing_ops,
    set_backend,
    set_thread_count,
    thread_count,
)
from npswin.deprecation import renamed_attributes

if not TYPE_CHECKING:
    __getattr__ = renamed_attributes(__name__, {"words": "dispatch"})

__all__ = [
    "allow_tf32",
    "capture",
    "dispatch",
    "get_backend",
    "missing_ops",
    "set_backend",
    "set_thread_count",
    "thread_count",
]
