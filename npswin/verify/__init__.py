"""Gradient checks, the answer key, and the comparison of a port with it."""

from npswin.verify.gradcheck import GradcheckError, GradcheckReport, gradcheck
from npswin.verify.key import AnswerKey, AnswerKeyError, Trace, trace, write_key
from npswin.verify.port import (
    CandidateError,
    Comparison,
    Diagnosis,
    DumpComparison,
    compare,
    compare_dumps,
    diagnose,
    watch,
)

__all__ = [
    "AnswerKey",
    "AnswerKeyError",
    "CandidateError",
    "Comparison",
    "Diagnosis",
    "DumpComparison",
    "GradcheckError",
    "GradcheckReport",
    "Trace",
    "compare",
    "compare_dumps",
    "diagnose",
    "gradcheck",
    "trace",
    "watch",
    "write_key",
]
