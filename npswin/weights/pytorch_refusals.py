"""Why PyTorch's safe reader refuses a file, and what can be done about it."""

import re
from pathlib import Path

from npswin.files import shortened
from npswin.weights.file_kinds import AGAIN, PICKLE

_BLOCKED = re.compile(r"unsupported GLOBAL (\S+) whose module \S+ is blocked")
_CUT_SHORT = ("central directory", "EOF", "Ran out of input", "unexpected pos", "truncated", "unpack requires a buffer")


def describe_refusal(path: Path, kind: str, error: Exception) -> str:
    """What is wrong with a file that PyTorch does not read.

    Args:
        path: of the file.
        kind: PYTORCH or PICKLE.
        error: what its reader raised.
    """
    text = str(error)
    if blocked := _BLOCKED.search(text):
        return (
            f"names {shortened(blocked[1])}, which no file of weights needs: it would run a program on this computer. "
            "Delete it, and take the weights from another place"
        )
    if any(words in text for words in _CUT_SHORT):
        return f"cut short or damaged, PyTorch cannot read it: {AGAIN} ({_reason(error)})"
    if "TorchScript" in text:
        what = "a TorchScript program, with its weights in it"
        load = f"import torch; s = torch.jit.load({str(path)!r}, map_location='cpu').state_dict()"
    else:
        what = f"PyTorch's safe reader does not read it ({_reason(error)}), and any other reader runs the file's code"
        load = f"import torch; s = torch.load({str(path)!r}, map_location='cpu', weights_only=False)"
        if kind == PICKLE:  # text for the user, who may trust the file; nothing here runs it
            load = f"import pickle; s = pickle.load(open({str(path)!r}, 'rb'))"
        load += "; s = s.get('model', s.get('state_dict', s))"
    out = str(path.with_suffix(".safetensors"))
    numbers = "np.asarray(v, np.float32)" if kind == PICKLE else "v.detach().float().numpy()"
    return (
        f"{what}. Only if you trust who made it, two lines of Python take the weights out:\n\n"
        f"    {load}\n"
        "    import numpy as np; from npswin.weights import save_tensors; "
        f"save_tensors({out!r}, {{k: {numbers} for k, v in s.items() if hasattr(v, 'shape')}})\n\n"
    )


def _reason(error: Exception) -> str:
    """The line of PyTorch's message that has the reason; the others are advice."""
    text = str(error).strip()
    found = re.search(r"WeightsUnpickler error: (.+)", text)
    return shortened(found[1] if found else text.split("\n")[0]) or type(error).__name__
