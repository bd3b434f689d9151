"""What a PyTorch or JAX module computes, module by module, under the key's names.

Neither framework is imported here: whoever passes one of their modules has it.
"""

import contextlib
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from os import PathLike
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT
from npswin.weights import detect_layout, save_tensors, to_official
from npswin.weights.layouts import official_names

Naming = Mapping[str, str] | Callable[[str], str | None] | None

# The modules of the official code whose output is a tensor of the key.
_KNOWN = re.compile(
    r"patch_embed\.(proj|norm)|pos_drop|norm|avgpool|head|layers\.\d+\.(downsample\.(norm|reduction)|blocks\.\d+"
    r"(\.(norm1|norm2|attn\.(qkv|q|k|v|proj|probabilities)|mlp\.(fc1|act|fc2)))?)"
)
# What modules without parameters are called; those with some are named as their weights are.
_ACTIVATIONS = (
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
NOTHING = "none of the modules that are to be seen was called; call them inside the with block, uncompiled"
_HEAP_TYPE = 1 << 9  # a class that was made in Python, and can be changed


class Seen:
    """What was seen of a module.

    Attributes:
        tensors: by the key's name, gradients as "grad/" + name; add to them what you know besides.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Array] = {}

    def save(self, path: str | PathLike[str]) -> None:
        """Write them to a safetensors file, for `npswin compare`."""
        save_tensors(path, self.tensors)


def watch(module: Any, names: Naming = None) -> AbstractContextManager[Seen]:
    """Record the output of every submodule and its gradient, and in PyTorch the parameters' gradients.

        with npswin.verify.watch(model) as seen:
            cross_entropy(model(images), labels).backward()
        print(npswin.verify.compare("key", seen.tensors))

    Args:
        module: a PyTorch module; or a JAX one, of flax.linen, flax.nnx or equinox, called without jit: by itself, or
            in `jax.vmap`, `jax.grad` and their like.
        names: from a submodule's path, such as "encoder.layer.0", to the key's name, or None for one of no interest: a
            dictionary or a function. Without it, PyTorch modules of the layouts that `load_weights` knows are named as
            their weights are; other modules by their path.

    Returns:
        A context manager; what was seen is complete when it is left. Of a module that is called several times the last
        call is kept, and its gradient; parameters' gradients are the sum of all backward passes.

    Raises:
        TypeError: it is no module that can be watched.

    Warns:
        UserWarning: nothing was called, or what was called is compiled.
    """
    if hasattr(module, "named_modules") and hasattr(module, "register_forward_hook"):
        return _watch_torch(module, _torch_naming(module, names), names is not None)
    linen = sys.modules.get("flax.linen")
    if linen is not None and isinstance(module, linen.Module):
        return _watch_linen(linen, _naming(names))
    if callable(module) and hasattr(module, "__dict__"):
        return _watch_calls(module, _naming(names))
    raise TypeError(f"module: got {type(module).__name__}, expected a PyTorch or JAX module")


def _naming(names: Naming) -> Callable[[str], str | None]:
    if names is None:
        return lambda path: path
    return names.get if isinstance(names, Mapping) else names


def _torch_naming(module: Any, names: Naming) -> Callable[[str], str | None]:
    if names is not None:
        return _naming(names)
    try:
        layout = detect_layout(module.state_dict())
    except ValueError:
        return lambda path: path
    official: dict[str, str] = {}
    for path, _ in module.named_modules():
        name = next((re.sub(pattern, new, path) for pattern, new in _ACTIVATIONS if re.fullmatch(pattern, path)), None)
        name = name or official_names([f"{path}.weight"], layout)[0].removesuffix(".weight")
        if _KNOWN.fullmatch(name):
            official[path] = name
    return official.get


@contextmanager
def _watch_torch(module: Any, naming: Callable[[str], str | None], named: bool) -> Iterator[Seen]:
    seen, calls, hooks = Seen(), Counter[str](), []
    gradients: dict[str, Array] = {}

    def record(name: str) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            tensor = _tensor_of(output)
            if tensor is not None:
                calls[name] += 1
                seen.tensors[name] = _numbers(tensor)
                seen.tensors.pop(GRADIENT + name, None)
                if tensor.requires_grad:
                    hooks.append(tensor.register_hook(of_call(name, calls[name])))

        return hook

    def of_call(name: str, call: int) -> Callable[[Any], None]:
        def hook(gradient: Any) -> None:
            if calls[name] == call:  # the gradient belongs to the output that was kept: the last call's
                _add(seen.tensors, GRADIENT + name, gradient)

        return hook

    try:
        for path, part in module.named_modules():
            if path and (name := naming(path)):
                hooks.append(part.register_forward_hook(record(name)))
        for path, parameter in module.named_parameters():
            if parameter.requires_grad:
                hooks.append(parameter.register_hook(partial(_add, gradients, path)))
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
    if not calls:
        warnings.warn(f"watch: {NOTHING}", stacklevel=4)
    _join_qkv(seen.tensors)
    for name in ("patch_embed.proj", GRADIENT + "patch_embed.proj"):
        if not named and name in seen.tensors and seen.tensors[name].ndim == 4:
            seen.tensors[name] = seen.tensors[name].transpose(0, 2, 3, 1)  # a convolution's channels come second
    seen.tensors |= {
        GRADIENT + name: array for name, array in _named_gradients(module, gradients, naming, named).items()
    }


def _add(arrays: dict[str, Array], name: str, gradient: Any) -> None:
    """Gradients of several backward passes add up, as they do in a parameter's own."""
    arrays[name] = _numbers(gradient) if name not in arrays else arrays[name] + _numbers(gradient)


def _named_gradients(
    module: Any, gradients: dict[str, Array], naming: Callable[[str], str | None], named: bool
) -> dict[str, Array]:
    if not named and gradients:
        with contextlib.suppress(ValueError):
            state = {name: _numbers(value) for name, value in module.state_dict().items()}
            return to_official(gradients, like=state)[1]
    found = {}
    for name, gradient in gradients.items():
        path, _, last = name.rpartition(".")
        if official := naming(path):
            found[f"{official}.{last}"] = gradient
    return found


def _join_qkv(tensors: dict[str, Array]) -> None:
    """q, k and v of three linear layers as the columns of one."""
    for q in [name for name in tensors if name.endswith(".attn.q")]:
        parts = [f"{q[:-1]}{letter}" for letter in "qkv"]
        if all(part in tensors for part in parts):
            tensors[f"{q}kv"] = np.concatenate([tensors.pop(part) for part in parts], axis=-1)


@contextmanager
def _watch_linen(linen: Any, naming: Callable[[str], str | None]) -> Iterator[Seen]:
    seen, calls = Seen(), Counter[str]()

    def record(call: Any, arguments: Any, keywords: Any, context: Any) -> Any:
        output = call(*arguments, **keywords)
        if context.method_name == "__call__" and (name := naming(".".join(context.module.path))):
            return _seen_through(seen, calls, name, output)
        return output

    with linen.intercept_methods(record):
        yield seen
    if not calls:
        warnings.warn(f"watch: {NOTHING}", stacklevel=4)


@contextmanager
def _watch_calls(module: Any, naming: Callable[[str], str | None]) -> Iterator[Seen]:
    """Modules that are plain objects: their classes' __call__ is watched for as long as it takes."""
    seen, calls, paths, known = Seen(), Counter[str](), {}, []

    def know(root: Any) -> None:
        known.append(root)  # an id is its own only as long as the object lives
        paths.update({id(part): path for path, part in _parts(root)})

    know(module)
    owners = {_owner_of_call(type(part)) for _, part in _parts(module)} - {None}
    originals = {owner: owner.__call__ for owner in owners}

    def watched(original: Any) -> Any:
        def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
            if id(self) not in paths and type(self) is type(module):  # a copy, as jax.grad makes it
                know(self)
            output = original(self, *arguments, **keywords)
            path = paths.get(id(self))
            if path and (name := naming(path)):
                return _seen_through(seen, calls, name, output)
            return output

        return call

    try:
        for owner, original in originals.items():
            owner.__call__ = watched(original)
        yield seen
    finally:
        for owner, original in originals.items():
            owner.__call__ = original
    if not calls:
        warnings.warn(f"watch: {NOTHING}", stacklevel=4)


def _owner_of_call(kind: type) -> Any:
    """The class, made in Python, from which a class has its __call__; None if there is none."""
    owner = next((each for each in kind.__mro__ if "__call__" in vars(each)), None)
    return owner if owner is not None and owner.__flags__ & _HEAP_TYPE else None


def _parts(module: Any) -> Iterator[tuple[str, Any]]:
    """The objects inside a module that can be called, and those that have a base class of its, by the path of
    attributes, places and keys that leads there; itself first."""
    bases = tuple(kind for kind in type(module).__mro__[1:] if kind.__flags__ & _HEAP_TYPE) or (type(module),)
    waiting, met = [("", module)], set()
    while waiting:
        path, value = waiting.pop(0)
        start = f"{path}." if path else ""
        if isinstance(value, dict):
            waiting += [(f"{start}{key}", one) for key, one in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(f"{start}{place}", one) for place, one in enumerate(value)]
        elif hasattr(value, "__dict__") and id(value) not in met:
            met.add(id(value))
            if value is module or isinstance(value, bases) or _owner_of_call(type(value)) is not None:
                yield path, value
                waiting += [(f"{start}{name}", one) for name, one in vars(value).items()]


def _seen_through(seen: Seen, calls: Counter[str], name: str, output: Any) -> Any:
    """The output of a call, and on its way its numbers and those of its gradient."""
    if isinstance(output, tuple) and output:
        first = _seen_through(seen, calls, name, output[0])
        return type(output)(first, *output[1:]) if hasattr(output, "_fields") else (first, *output[1:])
    calls[name] += 1
    call = calls[name]
    jax = sys.modules.get("jax")
    if jax is None or not isinstance(output, jax.Array):
        if hasattr(output, "__array__"):
            seen.tensors[name] = np.array(output)
        return output

    def record(name: str, array: Any) -> Any:
        def keep(numbers: Any) -> Array:
            if calls[name.removeprefix(GRADIENT)] == call:  # of the output that was kept: the last call's
                seen.tensors[name] = _short(np.array(numbers))
            return np.asarray(numbers)

        if "DynamicJaxprTracer" in type(array).__name__:
            raise TypeError(f"{name}: got a tracer, expected numbers: call the module without jit around it")
        if isinstance(array, jax.core.Tracer):  # of vmap: the callback gets the whole batch
            shape = jax.ShapeDtypeStruct(array.shape, array.dtype)
            return jax.pure_callback(keep, shape, array, vmap_method="broadcast_all")
        keep(array)
        return array

    through = jax.custom_vjp(lambda x: record(name, x))
    through.defvjp(lambda x: (record(name, x), None), lambda _, dy: (record(GRADIENT + name, dy),))
    return through(output)


def _tensor_of(output: Any) -> Any:
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if hasattr(output, "requires_grad") else None


def _numbers(tensor: Any) -> Array:
    """A copy: what comes after may change the tensor in place."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy().copy()


def _short(array: Array) -> Array:
    """bfloat16, which NumPy does not know, as float32, which holds it."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
