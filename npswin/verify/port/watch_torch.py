"""Records the results of a PyTorch module by hooks."""

import contextlib
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.recording import NOTHING_CALLED, NameOf, Naming, Recording, name_function
from npswin.weights import to_official
from npswin.weights.layouts import find_layout, official_names

# The modules of the official code whose output is a tensor of the key.
_OFFICIAL = re.compile(
    r"patch_embed\.(proj|norm)|pos_drop|norm|avgpool|head|layers\.\d+\.(downsample\.(norm|reduction)|blocks\.\d+"
    r"(\.(norm1|norm2|attn\.(qkv|q|k|v|proj|probabilities)|mlp\.(fc1|act|fc2)))?)"
)
# The official names of modules without parameters, which the names of weights do not give.
_WITHOUT_PARAMETERS = (
    (r"(?:swin\.)?encoder\.(layers\.\d+\.blocks\.\d+)", r"\1"),
    (
        r"(?:swin\.)?encoder\.(layers\.\d+\.blocks\.\d+)\.(?:mlp\.activation_fn|intermediate\.intermediate_act_fn)",
        r"\1.mlp.act",
    ),
    (r"(?:swin\.)?pooler", "avgpool"),
    (r"(layers\.\d+\.blocks\.\d+\.attn)\.softmax", r"\1.probabilities"),
    (r"features\.(\d*[13579])\.(\d+)", lambda m: f"layers.{(int(m[1]) - 1) // 2}.blocks.{m[2]}"),
    (r"features\.(\d*[13579])\.(\d+)\.mlp\.1", lambda m: f"layers.{(int(m[1]) - 1) // 2}.blocks.{m[2]}.mlp.act"),
)


@contextmanager
def watch_torch(module: Any, names: Naming) -> Iterator[Recording]:
    """Record a PyTorch module; arguments as for `watch`."""
    name_of, user_names = _name_function(module, names), names is not None
    recording, calls, hooks = Recording(), Counter[str](), []
    gradients: dict[str, Array] = {}

    def output_hook(name: str) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            tensor = _tensor_of(output)
            if tensor is not None:
                calls[name] += 1
                recording.tensors[name] = _numbers(tensor)
                recording.tensors.pop(GRADIENT_PREFIX + name, None)
                if tensor.requires_grad:
                    hooks.append(tensor.register_hook(gradient_hook(name, calls[name])))

        return hook

    def gradient_hook(name: str, call: int) -> Callable[[Any], None]:
        def hook(gradient: Any) -> None:
            if calls[name] == call:  # the recorded output is the last call's, so its gradient is needed
                _add(recording.tensors, GRADIENT_PREFIX + name, gradient)

        return hook

    try:
        for path, part in module.named_modules():
            if path and (name := name_of(path)):
                hooks.append(part.register_forward_hook(output_hook(name)))
        for path, parameter in module.named_parameters():
            if parameter.requires_grad:
                hooks.append(parameter.register_hook(partial(_add, gradients, path)))
        yield recording
    finally:
        for hook in hooks:
            hook.remove()
    if not calls:
        warnings.warn(NOTHING_CALLED, stacklevel=4)
    _join_qkv(recording.tensors)
    for name in ("patch_embed.proj", GRADIENT_PREFIX + "patch_embed.proj"):
        if not user_names and name in recording.tensors and recording.tensors[name].ndim == 4:
            # a convolution's channels are the second axis
            recording.tensors[name] = recording.tensors[name].transpose(0, 2, 3, 1)
    recording.tensors |= {
        GRADIENT_PREFIX + name: array
        for name, array in _named_gradients(module, gradients, name_of, user_names).items()
    }


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
        name = next(
            (re.sub(pattern, new, own) for pattern, new in _WITHOUT_PARAMETERS if re.fullmatch(pattern, own)), None
        )
        name = name or official_names([f"{path}.weight"], found.layout, found.prefix)[0].removesuffix(".weight")
        if _OFFICIAL.fullmatch(name):
            official[path] = name
    return official.get


def _add(arrays: dict[str, Array], name: str, gradient: Any) -> None:
    """Add a gradient to the one of earlier backward passes."""
    arrays[name] = _numbers(gradient) if name not in arrays else arrays[name] + _numbers(gradient)


def _named_gradients(module: Any, gradients: dict[str, Array], name_of: NameOf, user_names: bool) -> dict[str, Array]:
    if not user_names and gradients:
        with contextlib.suppress(ValueError):
            state = {name: _numbers(value) for name, value in module.state_dict().items()}
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


def _tensor_of(output: Any) -> Any:
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if hasattr(output, "requires_grad") else None


def _numbers(tensor: Any) -> Array:
    """A copy as a NumPy array, since the tensor may be changed in place later."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy().copy()
