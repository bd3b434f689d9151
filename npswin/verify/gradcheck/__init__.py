"""Gradient checks: whether a backward pass is the derivative of its forward pass."""

from npswin.verify.gradcheck.check import gradcheck
from npswin.verify.gradcheck.report import GradcheckError, GradcheckReport

__all__ = ["GradcheckError", "GradcheckReport", "gradcheck"]
