"""Arguments of ops under the names that they had before 0.2.0: accepted for one version, with a warning."""

import functools
from collections.abc import Callable
from typing import Any

from npswin.deprecation import warn_renamed
from npswin.ops.window_attention import AttentionSpec

_SPEC = {"num_heads": "num_heads", "window_size": "window_size", "shift": "shift_size", "mask_value": "mask_value"}


def accepts_shift(op: Callable[..., Any]) -> Callable[..., Any]:
    """The op, which takes `shift=` for `shift_size=` as well."""

    @functools.wraps(op)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "shift" in kwargs:
            warn_renamed(f"{op.__name__}: shift", "shift_size")
            kwargs["shift_size"] = kwargs.pop("shift")
        return op(*args, **kwargs)

    return call


def accepts_spec_fields(op: Callable[..., Any]) -> Callable[..., Any]:
    """The op, which takes num_heads, window_size, shift and mask_value for `spec=AttentionSpec(...)` as well."""

    @functools.wraps(op)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "spec" not in kwargs and "num_heads" in kwargs:
            warn_renamed(f"{op.__name__}: num_heads, window_size, shift, mask_value", "spec=AttentionSpec(...)")
            fields = {new: kwargs.pop(old) for old, new in _SPEC.items() if old in kwargs}
            kwargs["spec"] = AttentionSpec(**fields)
        return op(*args, **kwargs)

    return call
