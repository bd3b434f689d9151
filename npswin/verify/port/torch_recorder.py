"""Hooks that record what the modules of a PyTorch module compute."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from weakref import ref

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX

Hook = Callable[..., None]


class TorchRecorder:
    """Makes hooks, and holds what they have recorded.

    Args:
        tensors: by name; what is recorded is added.

    Attributes:
        hooks: handles of all hooks, with `remove`.
        calls: by name how often the tensor was recorded.
        left_on: by what is random, such as "dropout of rate 0.1", in which blocks it is.
    """

    def __init__(self, tensors: dict[str, Array]) -> None:
        self.tensors = tensors
        self.hooks: list[Any] = []
        self.calls = Counter[str]()
        self.left_on: dict[str, list[str]] = {}
        self._outputs: dict[str, tuple[Any, int]] = {}  # by name the tensor, and how often it was changed in place
        self._blocks = [""]  # that are being computed, the inner one last
        self._branches = Counter[str]()  # by block how many of its branches have ended with drop path

    def record(self, name: str, tensor: Any) -> None:
        """Record a tensor, and its gradient once it is computed, in place of an earlier one of this name."""
        self.calls[name] += 1
        self._outputs[name] = ref(tensor), tensor._version
        self.tensors[name] = numbers(tensor)
        self.tensors.pop(GRADIENT_PREFIX + name, None)
        if tensor.requires_grad:
            self.hooks.append(tensor.register_hook(self._gradient_hook(name, self.calls[name])))

    def record_in_block(self, name: str, tensor: Any) -> None:
        """Record a tensor of the block that is being computed; its name is the one in the block."""
        if self._blocks[-1]:
            self.record(f"{self._blocks[-1]}.{name}", tensor)

    def record_dropped(self, x: Any, output: Any, own_name: str | None = None) -> None:
        """Record the output of a dropout in place of its input x, if that was recorded; else under its own name."""
        before = next((name for name, (tensor, _) in self._outputs.items() if _is_read(tensor(), x)), None)
        if before is None and own_name:
            self.record(own_name, output)
        elif before and (output is not x or output._version > self._outputs[before][1]):
            self.record(before, output)

    def is_on(self, kind: str, rate: float) -> None:
        """Note that something random is left on in the block that is being computed."""
        places, place = self.left_on.setdefault(f"{kind} of rate {rate:.3g}", []), self._blocks[-1] or "the model"
        if place not in places:
            places.append(place)

    def watch_output(self, module: Any, name: str, place: int = 0) -> None:
        """Record a module's result, or of several the one at a place."""

        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            tensor = _tensor_of(output, place)
            if tensor is not None:
                self.record(name, tensor)

        self.hooks.append(module.register_forward_hook(hook))

    def watch_dropout(self, module: Any, own_name: str | None) -> None:
        """Record what a dropout makes of a tensor."""

        def hook(_module: Any, inputs: Any, output: Any) -> None:
            self.record_dropped(_first(inputs), output, own_name)

        self.hooks.append(module.register_forward_hook(hook))

    def watch_drop_path(self, module: Any) -> None:
        """Record what drop path makes of a branch; the attention branch has no other module that returns it."""

        def hook(module: Any, inputs: Any, output: Any) -> None:
            block = self._blocks[-1]
            self._branches[block] += 1
            own_name = f"{block}.drop_path{min(self._branches[block], 2)}" if block else None
            self.record_dropped(_first(inputs), output, own_name)
            rate = getattr(module, "drop_prob", getattr(module, "p", None))
            if module.training and rate:
                self.is_on("drop path", rate)

        self.hooks.append(module.register_forward_hook(hook))

    def watch_block(self, module: Any, name: str) -> None:
        """Know when a block is being computed."""

        def begins(_module: Any, _inputs: Any) -> None:
            self._blocks.append(name)
            self._branches[name] = 0

        def ends(_module: Any, _inputs: Any, _output: Any) -> None:
            self._blocks.pop()

        self.hooks.append(module.register_forward_pre_hook(begins))
        self.hooks.append(module.register_forward_hook(ends, always_call=True))

    def _gradient_hook(self, name: str, call: int) -> Hook:
        def hook(gradient: Any) -> None:
            if self.calls[name] == call:  # the recorded output is the last call's, so its gradient is needed
                add(self.tensors, GRADIENT_PREFIX + name, gradient)

        return hook


def add(arrays: dict[str, Array], name: str, gradient: Any) -> None:
    """Add a gradient to the one of earlier backward passes."""
    arrays[name] = numbers(gradient) if name not in arrays else arrays[name] + numbers(gradient)


def numbers(tensor: Any) -> Array:
    """A copy as a NumPy array, since the tensor may be changed in place later."""
    tensor = tensor.detach().cpu()
    array: Array = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy().copy()
    return array


def _first(inputs: Any) -> Any:
    return inputs[0] if inputs else None


def _tensor_of(output: Any, place: int = 0) -> Any:
    """The tensor among a module's results at this place; None if there is none."""
    results = output if isinstance(output, tuple | list) else (output,)
    tensor = results[place] if place < len(results) else None
    return tensor if hasattr(tensor, "requires_grad") else None


def _is_read(tensor: Any, x: Any) -> bool:
    """Whether an input is this tensor, or the map of patches that the patch embedding has made of it."""
    return tensor is not None and x is not None and (x is tensor or _is_flattened(x, tensor))


def _is_flattened(x: Any, tensor: Any) -> bool:
    """Whether x (B, H·W, C) is a view of a convolution's result (B, C, H, W)."""
    return x._base is tensor and tensor.ndim == 4 and x.shape == (len(tensor), tensor[0, 0].numel(), tensor.shape[1])
