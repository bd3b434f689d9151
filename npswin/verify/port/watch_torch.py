"""Records the results of a PyTorch module by hooks."""

import contextlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.module_names import WITHOUT_PARAMETERS
from npswin.verify.port.recording import LEFT_ON, NOTHING_CALLED, NameOf, Naming, Recording, name_function
from npswin.verify.port.text import join_names
from npswin.verify.port.torch_recorder import TorchRecorder, add, numbers
from npswin.verify.port.watch_torch_functions import Functions
from npswin.weights import to_official
from npswin.weights.layout_renames import official_name
from npswin.weights.layouts import find_layout, official_names

# The modules of the official code whose output is a tensor of the key.
_OFFICIAL = re.compile(
    r"patch_embed\.(proj|norm)|pos_drop|norm|avgpool|head|layers\.\d+\.(downsample\.(norm|reduction)|blocks\.\d+"
    r"(\.(norm1|norm2|attn\.(qkv|q|k|v|proj|probabilities)|mlp\.(fc1|act|fc2)))?)"
)
_BLOCK = r"layers\.\d+\.blocks\.\d+"
_DROP_PATH = ("droppath", "stochasticdepth")  # parts of the names of modules' types, in small letters
# In transformers, attention also returns the probabilities, if it computes them.
_ATTENTION_OF_TRANSFORMERS = (r"(?:swin\.)?encoder\.(layers\.\d+\.blocks\.\d+)\.attention", r"\1.attn.probabilities")


@contextmanager
def watch_torch(module: Any, names: Naming) -> Iterator[Recording]:
    """Record a PyTorch module; arguments as for `watch`."""
    name_of, user_names = _name_function(module, names), names is not None
    recording, gradients = Recording(), dict[str, Array]()
    recorder = TorchRecorder(recording.tensors)
    functions = Functions(recorder.record_in_block, recorder.record_dropped, recorder.is_on)
    try:
        for path, part in module.named_modules():
            _watch_module(recorder, path, part, name_of(path) if path else None, user_names)
        for path, parameter in module.named_parameters():
            if parameter.requires_grad:
                recorder.hooks.append(parameter.register_hook(partial(add, gradients, path)))
        with functions.watched():
            yield recording
    finally:
        for hook in recorder.hooks:
            hook.remove()
    if not recorder.calls:
        warnings.warn(NOTHING_CALLED, stacklevel=4)
    if recorder.left_on:
        where = "; ".join(f"{what} in {join_names(places)}" for what, places in recorder.left_on.items())
        warnings.warn(f"{LEFT_ON}: {where}", stacklevel=4)
    _join_qkv(recording.tensors)
    for name in ("patch_embed.proj", GRADIENT_PREFIX + "patch_embed.proj"):
        if not user_names and name in recording.tensors and recording.tensors[name].ndim == 4:
            # a convolution's channels are the second axis
            recording.tensors[name] = recording.tensors[name].transpose(0, 2, 3, 1)
    recording.tensors |= {
        GRADIENT_PREFIX + name: array
        for name, array in _named_gradients(module, gradients, name_of, user_names).items()
    }


def _watch_module(recorder: TorchRecorder, path: str, part: Any, name: str | None, user_names: bool) -> None:
    if not user_names and name and re.fullmatch(_BLOCK, name):
        recorder.watch_block(part, name)
    kind = type(part).__name__.lower()
    if user_names and name:
        recorder.watch_output(part, name)
    elif any(one in kind for one in _DROP_PATH):
        recorder.watch_drop_path(part)
    elif "dropout" in kind:
        recorder.watch_dropout(part, name)
    elif name:
        recorder.watch_output(part, name)
    if not user_names and (match := re.fullmatch(_ATTENTION_OF_TRANSFORMERS[0], path)):
        recorder.watch_output(part, match.expand(_ATTENTION_OF_TRANSFORMERS[1]), place=1)


def _name_function(module: Any, names: Naming) -> NameOf:
    if names is not None:
        return name_function(names)
    try:
        found = find_layout(module.state_dict())
    except ValueError:
        return lambda path: path
    official: dict[str, str] = {}
    for path, _ in module.named_modules():
        own = path.removeprefix(found.prefix)
        name = official_name(own, WITHOUT_PARAMETERS)
        if name == own:
            name = official_names([f"{path}.weight"], found.layout, found.prefix)[0].removesuffix(".weight")
        if _OFFICIAL.fullmatch(name):
            official[path] = name
    return official.get


def _named_gradients(module: Any, gradients: dict[str, Array], name_of: NameOf, user_names: bool) -> dict[str, Array]:
    if not user_names and gradients:
        with contextlib.suppress(ValueError):
            state = {name: numbers(value) for name, value in module.state_dict().items()}
            return to_official(gradients, like=state)[1]
    found = {}
    for name, gradient in gradients.items():
        path, _, last = name.rpartition(".")
        if official := name_of(path):
            found[f"{official}.{last}"] = gradient
    return found


def _join_qkv(tensors: dict[str, Array]) -> None:
    """Replace the outputs q, k and v of three linear layers by the qkv output of one."""
    for q in [name for name in tensors if name.endswith(".attn.q")]:
        parts = [f"{q[:-1]}{letter}" for letter in "qkv"]
        if all(part in tensors for part in parts):
            tensors[f"{q}kv"] = np.concatenate([tensors.pop(part) for part in parts], axis=-1)
