"""Records the results of a PyTorch module by hooks."""

import contextlib
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import ref

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.module_names import WITHOUT_PARAMETERS
from npswin.verify.port.recording import NOTHING_CALLED, RANDOM, NameOf, Naming, Recording, name_function
from npswin.verify.port.text import join_names
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
_DROPOUT, _DROP_PATH = ("dropout",), ("droppath", "drop_path", "stochasticdepth")  # parts of modules' types
# In transformers, attention also returns the probabilities, if it computes them.
_ATTENTION_OF_TRANSFORMERS = (r"(?:swin\.)?encoder\.(layers\.\d+\.blocks\.\d+)\.attention", r"\1.attn.probabilities")


@contextmanager
def watch_torch(module: Any, names: Naming) -> Iterator[Recording]:
    """Record a PyTorch module; arguments as for `watch`."""
    name_of, user_names = _name_function(module, names), names is not None
    recording, calls, hooks = Recording(), Counter[str](), []
    gradients: dict[str, Array] = {}
    outputs: dict[str, tuple[Any, int]] = {}  # by name the recorded tensor, and how often it was changed in place
    blocks: list[str] = [""]  # the block that is computed, last; "" outside of blocks
    branches = Counter[str]()  # by block how many of its branches have ended with drop path
    random: dict[str, list[str]] = {}  # by what is left on its places

    def record(name: str, tensor: Any) -> None:
        calls[name] += 1
        outputs[name] = ref(tensor), tensor._version
        recording.tensors[name] = _numbers(tensor)
        recording.tensors.pop(GRADIENT_PREFIX + name, None)
        if tensor.requires_grad:
            hooks.append(tensor.register_hook(gradient_hook(name, calls[name])))

    def output_hook(name: str, place: int = 0) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            tensor = _tensor_of(output, place)
            if tensor is not None:
                record(name, tensor)

        return hook

    def dropped(x: Any, output: Any, own_name: str | None = None) -> None:
        before = next((name for name, (tensor, _) in outputs.items() if _is_read(tensor(), x)), None)
        if before is None and own_name:
            record(own_name, output)
        elif before and (output is not x or output._version > outputs[before][1]):
            record(before, output)  # takes the place of the tensor before the dropout

    def dropout_hook(own_name: str | None) -> Callable[..., None]:
        return lambda _module, inputs, output: dropped(inputs[0] if inputs else None, output, own_name)

    def drop_path_hook(module: Any, inputs: Any, output: Any) -> None:
        branches[blocks[-1]] += 1
        own_name = f"{blocks[-1]}.drop_path{min(branches[blocks[-1]], 2)}" if blocks[-1] else None
        dropped(inputs[0] if inputs else None, output, own_name)
        rate = getattr(module, "drop_prob", getattr(module, "p", None))
        if module.training and rate:
            left_on("drop path", rate)

    def block_hooks(part: Any, name: str) -> None:
        def begins(_module: Any, _inputs: Any) -> None:
            blocks.append(name)
            branches[name] = 0

        hooks.append(part.register_forward_pre_hook(begins))
        hooks.append(part.register_forward_hook(lambda *_: blocks.pop() and None, always_call=True))

    def record_in_block(name: str, tensor: Any) -> None:
        if blocks[-1]:
            record(f"{blocks[-1]}.{name}", tensor)

    def left_on(kind: str, rate: float) -> None:
        places = random.setdefault(f"{kind} of rate {rate:.3g}", [])
        places += [blocks[-1] or "the model"] * ((blocks[-1] or "the model") not in places)

    def gradient_hook(name: str, call: int) -> Callable[[Any], None]:
        def hook(gradient: Any) -> None:
            if calls[name] == call:  # the recorded output is the last call's, so its gradient is needed
                _add(recording.tensors, GRADIENT_PREFIX + name, gradient)

        return hook

    try:
        for path, part in module.named_modules():
            name = name_of(path) if path else None
            if names is None and name and re.fullmatch(_BLOCK, name):
                block_hooks(part, name)
            if _is_a(part, _DROP_PATH):
                hooks.append(part.register_forward_hook(drop_path_hook))
            elif _is_a(part, _DROPOUT) and (names is None or not name):
                hooks.append(part.register_forward_hook(dropout_hook(name)))
            elif name:
                hooks.append(part.register_forward_hook(output_hook(name)))
            if names is None and (match := re.fullmatch(_ATTENTION_OF_TRANSFORMERS[0], path)):
                probabilities = match.expand(_ATTENTION_OF_TRANSFORMERS[1])
                hooks.append(part.register_forward_hook(output_hook(probabilities, place=1)))
        for path, parameter in module.named_parameters():
            if parameter.requires_grad:
                hooks.append(parameter.register_hook(partial(_add, gradients, path)))
        with Functions(record_in_block, dropped, left_on).watched():
            yield recording
    finally:
        for hook in hooks:
            hook.remove()
    if not calls:
        warnings.warn(NOTHING_CALLED, stacklevel=4)
    if random:
        where = "; ".join(f"{what} in {join_names(places)}" for what, places in random.items())
        warnings.warn(f"{RANDOM}: {where}", stacklevel=4)
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
        name = official_name(own, WITHOUT_PARAMETERS)
        if name == own:
            name = official_names([f"{path}.weight"], found.layout, found.prefix)[0].removesuffix(".weight")
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


def _tensor_of(output: Any, place: int = 0) -> Any:
    """The tensor among a module's results at this place; None if there is none."""
    results = output if isinstance(output, tuple | list) else (output,)
    tensor = results[place] if place < len(results) else None
    return tensor if hasattr(tensor, "requires_grad") else None


def _is_a(module: Any, types: tuple[str, ...]) -> bool:
    """Whether the name of a module's type has one of these parts."""
    return any(part in type(module).__name__.lower() for part in types)


def _is_read(tensor: Any, x: Any) -> bool:
    """Whether an input is this tensor, or the map of patches that the patch embedding has made of it."""
    return tensor is not None and x is not None and (x is tensor or _is_flattened(x, tensor))


def _is_flattened(x: Any, tensor: Any) -> bool:
    """Whether x (B, H·W, C) is a view of a convolution's result (B, C, H, W)."""
    return x._base is tensor and tensor.ndim == 4 and x.shape == (len(tensor), tensor[0, 0].numel(), tensor.shape[1])


def _numbers(tensor: Any) -> Array:
    """A copy as a NumPy array, since the tensor may be changed in place later."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy().copy()
