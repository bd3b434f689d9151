"""Ops with dropout inside, which are not fused: their composition, made of this backend's ops."""

from functools import partial

from npswin.backends import unfused as _unfused

unfused = partial(_unfused.unfused, "npswin.backends.cpu")
