"""Is a backward pass the derivative of its forward pass?"""

from npswin.verify.gradcheck.check import GradcheckError, GradcheckReport, gradcheck

__all__ = ["GradcheckError", "GradcheckReport", "gradcheck"]
