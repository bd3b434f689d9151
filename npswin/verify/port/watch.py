"""Records the results of a PyTorch or JAX module, submodule by submodule, under the key's names.

Neither framework is imported here: a module of one can only be passed where it is imported already.
"""

import sys
from contextlib import AbstractContextManager
from typing import Any

from npswin.checks import shown
from npswin.verify.port.recording import Naming, Recording, name_function
from npswin.verify.port.watch_jax import watch_calls, watch_linen
from npswin.verify.port.watch_torch import watch_torch


def watch(module: Any, names: Naming = None) -> AbstractContextManager[Recording]:
    """Record the output of every submodule and its gradient, and in PyTorch the parameters' gradients.

        with npswin.verify.watch(model) as recording:
            cross_entropy(model(images), labels).backward()
        print(npswin.verify.compare("key", recording.tensors))

    Where dropout is switched on in a PyTorch module, the tensor before it is recorded after it.

    Args:
        module: a PyTorch module; or a JAX one, of flax.linen, flax.nnx or equinox, called without jit: directly, or in
            `jax.vmap`, `jax.grad` and similar transformations.
        names: from a submodule's path, such as "encoder.layer.0", to the key's name, or None for a submodule that is
            not recorded: a dictionary or a function. Without it, PyTorch modules in a layout that `load_weights` reads
            are named as their weights are, and other modules by their path.

    Returns:
        A context manager; the recording is complete when it is left. For a module that is called several times, it has
        the last call's output and gradient. Parameters' gradients are the sum of all backward passes.

    Raises:
        ValueError: `module` is not a PyTorch or JAX module, or `names` is neither a dictionary nor a function.

    Warns:
        UserWarning: no module was called, or the called module is compiled.
    """
    name_function(names)
    if hasattr(module, "named_modules") and hasattr(module, "register_forward_hook"):
        return watch_torch(module, names)
    linen = sys.modules.get("flax.linen")
    if linen is not None and isinstance(module, linen.Module):
        return watch_linen(linen, name_function(names))
    if callable(module) and hasattr(module, "__dict__"):
        return watch_calls(module, name_function(names))
    raise ValueError(f"module: got {shown(module)}, expected a PyTorch or JAX module")
