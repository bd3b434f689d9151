"""Chains that are not fused."""

from functools import partial

from npswin.backends import composed as _composed

composed = partial(_composed.composed, "npswin.backends.cuda")
