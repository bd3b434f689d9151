"""Implementations of the ops in `npswin.ops`, and the dispatcher that layers call them through."""

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
