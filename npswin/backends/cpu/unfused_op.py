"""Ops with dropout inside, which are not fused: their composition, made of this backend's ops."""

from functools import partial

from npswin.backends import unfused_op as _unfused

unfused_op = partial(_unfused.unfused_op, "npswin.backends.cpu")
