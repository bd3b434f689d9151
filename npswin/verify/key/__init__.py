"""The answer key: every tensor of a model's forward and backward pass, in files that a port is compared with."""

from npswin.verify.key.manifest import AnswerKeyError
from npswin.verify.key.read import AnswerKey
from npswin.verify.key.trace import Trace, trace
from npswin.verify.key.write import write_key

__all__ = ["AnswerKey", "AnswerKeyError", "Trace", "trace", "write_key"]
