"""Proof that a backward pass is right, and that a port is."""

from npswin.verify.gradcheck import GradcheckError, GradcheckReport, gradcheck
from npswin.verify.key import AnswerKey, AnswerKeyError, Trace, trace

__all__ = ["AnswerKey", "AnswerKeyError", "GradcheckError", "GradcheckReport", "Trace", "gradcheck", "trace"]
