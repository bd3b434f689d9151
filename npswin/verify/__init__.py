"""Proof that a backward pass is right."""

from npswin.verify.gradcheck import GradcheckError, GradcheckReport, gradcheck

__all__ = ["GradcheckError", "GradcheckReport", "gradcheck"]
