"""Implementations of the ops in `npswin.ops`, and the dispatcher that layers call them through."""

from typing import TYPE_CHECKING

from npswin.backends.dispatcher import (
    allow_bfloat16,
    allow_tf32,
    capture,
    dispatch,
    get_backend,
    missing_ops,
    set_backend,
    set_thread_count,
    thread_count,
    why_no_bfloat16,
)
from npswin.deprecation import renamed_attributes

if not TYPE_CHECKING:
    __getattr__ = renamed_attributes(__name__, {"words": "dispatch"})

__all__ = [
    "allow_bfloat16",
    "allow_tf32",
    "capture",
    "dispatch",
    "get_backend",
    "missing_ops",
    "set_backend",
    "set_thread_count",
    "thread_count",
    "why_no_bfloat16",
]
