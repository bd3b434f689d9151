"""What all layers share: named parameters, their gradients, and the layers inside."""

import copy
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from npswin.backends import dispatch
from npswin.checks import (
    check_array,
    check_array_like,
    check_choice,
    check_dtype,
    check_generator,
    check_instance,
    check_text,
    describe,
    dtype_name,
    shown,
)
from npswin.devices import DEVICES, HALF_DTYPES, cupy, device_of, is_array, on_gpu, to_device_of, to_gpu, to_host
from npswin.types import Array

DTYPES = ("float32", "float64")  # of parameters
BUFFER_DTYPES = (*DTYPES, "int64")
_METHODS = frozenset(("__call__", "forward", "backward"))


class Layer:
    """Parameters, gradients and sub-layers under the names of the official checkpoint.

    A layer is used in three ways:

        y = layer(x)                      inference: keeps nothing, drops nothing
        y, cache = layer.forward(x, rng)  training: `cache` is what the backward pass needs; rng draws what is dropped
        dx = layer.backward(dy, cache)    adds to `layer.grads`, returns the derivative by x

    Nothing is stored on the layer between the calls, so it can run forward twice before it runs backward. The cache may
    hold x itself: do not change x in place before the backward pass.

    A layer with sub-layers may hand their parameters to one fused op instead of calling them. It then has to notice
    that a sub-layer's methods were overridden: see `is_overridden`.

    Attributes:
        own_params: this layer's own parameters by name, without those of its sub-layers.
        own_grads: their gradients, of the same shapes; None stands for zeros.
        own_buffers: this layer's own tensors that are saved with the parameters, and not trained.
        children: the sub-layers by name.
    """

    _changes = 0  # counts changes of any layer's parameters or sub-layers, after which names are looked up again
    _methods: tuple[Any, Any, Any]  # of each class, as it was defined
    fused_children: ClassVar[dict[str, type["Layer"]]] = {}  # sub-layers whose parameters a fused op takes
    drop_rates: ClassVar[tuple[str, ...]] = ()  # attributes with the rates at which `forward` drops something
    inference_flags: ClassVar[tuple[str, ...]] = ()  # attributes that, if True, let `forward` compute as inference does

    def __init_subclass__(cls) -> None:
        cls._methods = cls.__call__, cls.forward, cls.backward

    def __init__(self) -> None:
        self.own_params: dict[str, Array] = {}
        self.own_grads: dict[str, Array | None] = {}
        self.own_buffers: dict[str, Array] = {}
        self.children: dict[str, Layer] = {}
        self._places: dict[tuple[str, ...], tuple[int, list[tuple[Layer, str] | None]]] = {}

    def add_parameter(self, name: str, value: Array, dtype: Any) -> None:
        """Create a parameter with this initial value and a gradient of zeros."""
        stored = _initial_value(name, value, dtype, DTYPES)
        Layer._changes += 1
        self.own_params[name] = stored
        self.own_grads[name] = None

    def add_buffer(self, name: str, value: Array, dtype: Any) -> None:
        """Create a tensor with this initial value that is saved with the parameters, moved with them, and not trained.

        The layer itself changes it in place. The dtype is float32, float64 or int64.
        """
        self.own_buffers[name] = _initial_value(name, value, dtype, BUFFER_DTYPES)

    def add_child(self, name: str, layer: "Layer") -> None:
        """Add or replace a sub-layer; its parameters get the prefix `name.`, or none where `name` is empty."""
        check_text("name", name)
        check_instance("layer", layer, Layer, "a layer")
        if any(part is self for _, part in layer._walk()):
            raise ValueError(f"layer: got {type(layer).__name__}, which contains the layer that it is added to")
        Layer._changes += 1
        self.children[name] = layer

    def select(self, names: tuple[str, ...]) -> list[Array | None]:
        """The parameters of these names in this order, as an op takes them; None for one that the layer lacks."""
        return [None if place is None else place[0].own_params[place[1]] for place in self._find(names)]

    def accumulate(self, names: tuple[str, ...], gradients: Sequence[Array | None]) -> None:
        """Add these gradients, as an op returns them, to `grads`; None belongs to a parameter that the layer lacks.

        The first gradient after `zero_grad` is stored without a copy: no other code may hold or change the array.
        """
        places = self._find(names)
        if not isinstance(gradients, list | tuple) or len(gradients) != len(names):
            raise ValueError(f"gradients: got {shown(gradients)}, expected {len(names)}, one for each name")
        for name, place, gradient in zip(names, places, gradients, strict=True):
            if gradient is not None:
                if place is None:
                    raise ValueError(f"gradients: got one for {name!r}, which {type(self).__name__} does not have")
                layer, own_name = place
                param = layer.own_params[own_name]
                if not is_array(gradient) or gradient.shape != param.shape or gradient.dtype != param.dtype:
                    got = f"got {describe(gradient)} for {name!r}"
                    raise ValueError(f"gradients: {got}, expected {describe(param)}")
                sum_so_far = layer.own_grads[own_name]
                if sum_so_far is None:
                    layer.own_grads[own_name] = gradient
                else:
                    sum_so_far += gradient

    def _find(self, names: tuple[str, ...]) -> list[tuple["Layer", str] | None]:
        """For each name the layer that owns the parameter, and its own name there; looked up once."""
        with suppress(TypeError):  # nothing that can be a key
            changes, places = self._places.get(names, (-1, []))
            if changes == Layer._changes:
                return places
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"names: got {shown(names)}, expected a tuple of parameters' names")
        owners = {prefix + name: (layer, name) for prefix, layer in self._walk() for name in layer.own_params}
        places = [owners.get(name) for name in names]
        self._places[names] = Layer._changes, places
        return places

    def _walk(self, prefix: str = "") -> Iterator[tuple[str, "Layer"]]:
        yield prefix, self
        for name, child in self.children.items():
            yield from child._walk(f"{prefix}{name}." if name else prefix)

    @property
    def params(self) -> dict[str, Array]:
        """All parameters by their official name. Change them in place: `layer.params[name][...] = value`."""
        return {prefix + name: value for prefix, layer in self._walk() for name, value in layer.own_params.items()}

    @property
    def grads(self) -> dict[str, Array]:
        """The gradient of each parameter, under the parameter's name; the same arrays until `zero_grad`."""
        return {prefix + name: layer._own_grad(name) for prefix, layer in self._walk() for name in layer.own_params}

    @property
    def buffers(self) -> dict[str, Array]:
        """All buffers by their official name: what is saved with the parameters, and not trained."""
        return {prefix + name: value for prefix, layer in self._walk() for name, value in layer.own_buffers.items()}

    def _own_grad(self, name: str) -> Array:
        gradient = self.own_grads[name]
        if gradient is None:
            gradient = self.own_grads[name] = np.zeros_like(self.own_params[name])
        return gradient

    def zero_grad(self) -> None:
        """Set all gradients to zero by releasing them: their memory is free until the backward pass."""
        for _, layer in self._walk():
            layer.own_grads = dict.fromkeys(layer.own_grads)

    def without_dropout(self) -> Self:
        """A layer with the same parameters whose `forward` computes what inference does, for its derivatives.

        It drops nothing, and batch norms take their running statistics, as constants, and do not update them.

        Returns:
            A copy: its parameters and buffers are the same arrays, its gradients are its own.
        """
        not_copied: dict[int, Any] = {}
        for _, layer in self._walk():
            shared = (*layer.own_params.values(), *layer.own_buffers.values())
            not_copied.update((id(tensor), tensor) for tensor in shared)
            not_copied.update((id(gradient), None) for gradient in layer.own_grads.values())
        twin = copy.deepcopy(self, not_copied)
        for _, layer in twin._walk():
            for name in layer.drop_rates:
                setattr(layer, name, 0.0)
            for name in layer.inference_flags:
                setattr(layer, name, True)
        return twin

    def to(self, device: str) -> Self:
        """Move all parameters, gradients and buffers to a device, on which `forward` and `backward` then compute.

        Do it before creating an optimizer, which holds references to the arrays.

        Args:
            device: "cuda", the current NVIDIA GPU, with CuPy's arrays; or "cpu", with NumPy's.

        Returns:
            The layer itself.

        Raises:
            ValueError: no such device.
            RuntimeError: there is no CuPy, no driver, no GPU, or too little memory on it; nothing is moved then.
        """
        check_choice("device", device, DEVICES)
        layers = [layer for _, layer in self._walk()]
        move = to_host if device == "cpu" else _moved_to_gpu
        params = [{name: move(param) for name, param in layer.own_params.items()} for layer in layers]
        grads = [
            {name: None if grad is None else move(grad) for name, grad in layer.own_grads.items()} for layer in layers
        ]
        buffers = [{name: move(buffer) for name, buffer in layer.own_buffers.items()} for layer in layers]
        for layer, own_params, own_grads, own_buffers in zip(layers, params, grads, buffers, strict=True):
            layer.own_params, layer.own_grads, layer.own_buffers = own_params, own_grads, own_buffers
        return self

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """y and the cache for `backward`; see the class."""
        raise NotImplementedError

    def backward(self, dy: Array, cache: Any) -> Array:
        """The derivative by x; adds to `grads`."""
        raise NotImplementedError

    def __call__(self, x: Array) -> Array:
        """Inference: y, with nothing saved."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """What `repr` shows before the parameters, such as "num_heads=3, window_size=7"; layers override it."""
        return ""

    def __repr__(self) -> str:
        """The class, `extra_repr`, own tensors with their shapes; then the sub-layers, one or more lines each."""
        tensors = {**self.own_params, **self.own_buffers}
        shapes = [f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items()]
        own = ", ".join(filter(None, [self.extra_repr(), *shapes]))
        if not self.children:
            return f"{type(self).__name__}({own})"
        lines = [own] if own else []
        lines += [f"({name}): {child!r}" if name else repr(child) for name, child in self.children.items()]
        inner = textwrap.indent("\n".join(lines), "  ")
        return f"{type(self).__name__}(\n{inner}\n)"


def _initial_value(name: str, value: Array, dtype: Any, dtypes: tuple[str, ...]) -> Array:
    """The tensor that a parameter or a buffer begins with, checked."""
    check_text("name", name)
    value, dtype = check_array_like("value", value), check_dtype("dtype", dtype, dtypes)
    if value.dtype.kind not in "biuf":
        raise ValueError(f"value: got {describe(value)}, expected numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        stored = np.array(value, dtype, order="C")
    is_float = dtype.kind == "f"
    if not (np.array_equal(np.isinf(stored), np.isinf(value)) if is_float else np.array_equal(stored, value)):
        raise ValueError(f"value: got numbers {'beyond the range' if is_float else 'that are none'} of {dtype}")
    return stored


def child(name: str) -> property:
    """An attribute for a sub-layer; assigning to it replaces the sub-layer."""
    return property(lambda self: self.children[name], lambda self, layer: self.add_child(name, layer))


def is_overridden(layer: Layer, kind: type[Layer]) -> bool:
    """Whether a layer's methods are not those of a class: in its own class, on the instance, or patched on the class.

    A fused op that takes the layer's parameters would ignore such methods.
    """
    cls = type(layer)
    return (cls.__call__, cls.forward, cls.backward) != kind._methods or not _METHODS.isdisjoint(vars(layer))


def require_not_overridden(parent: Layer) -> None:
    """Raise a TypeError if one of a layer's `fused_children` is overridden: see `is_overridden`."""
    for name, kind in parent.fused_children.items():
        child = parent.children.get(name)
        if child is not None and is_overridden(child, kind):
            own, cls = type(parent).__name__, type(child).__name__
            raise TypeError(
                f"{own}: {name} is a {cls} with methods of its own, which the fused op would ignore; "
                f"override __call__, forward and backward of {own} instead"
            )


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...], std: float = 0.02, bound: float = 2.0) -> Array:
    """Normal deviates of the given deviation, redrawn where they exceed ±bound: initial linear weights.

    Returns:
        An array of the given shape in float64.
    """
    values = rng.normal(0.0, std, shape)
    while (outside := np.abs(values) > bound).any():
        values[outside] = rng.normal(0.0, std, int(outside.sum()))
    return values


def fan_in_uniform(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> Array:
    """Uniform deviates within ±1/√fan_in: the initial patch embedding, which is a convolution in the official code."""
    bound = 1 / math.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape)


def draw_mask(rng: np.random.Generator | None, shape: tuple[int, ...], rate: float, like: Array) -> Array | None:
    """The op `draw_mask` with a map's dtype and on its device, or None where nothing is dropped.

    Raises:
        ValueError: the rate is not 0 and there is no generator.
    """
    if not rate:
        return None
    if rng is None:
        raise ValueError(f"rng: got None, expected a numpy.random.Generator, since a drop rate is {rate}")
    return to_device_of(dispatch.draw_mask(rng, shape, rate, like.dtype), like)


class LayerCache(NamedTuple):
    """What a layer's backward pass needs, and what the layer's own checks of it need: see `keep` and `kept`.

    Attributes:
        layer: whose it is.
        method: that returned it, such as "forward".
        outputs: the shape, the dtype and the device of each output, by whose derivative the backward pass begins.
        content: what the backward pass needs.
    """

    layer: Layer
    method: str
    outputs: tuple[tuple[tuple[int, ...], Any, bool], ...]
    content: Any


def keep(layer: Layer, outputs: Sequence[Array], content: Any, method: str = "forward") -> LayerCache:
    """The cache that a layer returns with its outputs."""
    return LayerCache(layer, method, tuple((y.shape, y.dtype, on_gpu(y)) for y in outputs), content)


def kept(layer: Layer, cache: Any, method: str = "forward") -> LayerCache:
    """The cache that a layer's backward pass got.

    Raises:
        ValueError: it is not one that this method of this layer returned.
    """
    if type(cache) is not LayerCache or cache.layer is not layer or cache.method != method:
        got = shown(cache)
        if type(cache) is LayerCache:
            whose = "" if cache.layer is layer else f" of another {type(cache.layer).__name__}"
            got = f"one from {cache.method}{whose}"
        raise ValueError(f"cache: got {got}, expected one from {method} of this {type(layer).__name__}")
    return cache


def kept_for(layer: Layer, dy: Array, cache: Any) -> Any:
    """The content of a layer's cache, for the derivative by its one output.

    Raises:
        ValueError: the cache is another layer's, or dy cannot be the derivative.
    """
    cache = kept(layer, cache)
    check_derivative("dy", dy, cache.outputs[0])
    return cache.content


def check_derivative(name: str, derivative: Array, output: tuple[tuple[int, ...], Any, bool]) -> None:
    """Raise a ValueError unless this can be the derivative of a loss by an output, of which a `LayerCache` knows."""
    shape, dtype, is_on_gpu = output
    alike = is_array(derivative) and derivative.shape == shape and derivative.dtype == dtype
    if not alike or on_gpu(derivative) != is_on_gpu:
        where = [f" on {DEVICES[on]!r}" if is_array(derivative) else "" for on in (on_gpu(derivative), is_on_gpu)]
        raise ValueError(f"{name}: got {describe(derivative)}{where[0]}, expected {dtype} of shape {shape}{where[1]}")


def check_input(layer: Layer, x: Array, channels: int | None = None, rank: int | None = None, rng: Any = None) -> None:
    """Raise a ValueError unless x is an array of this rank, with these channels at its end, that the layer can take.

    Args:
        layer: whose input it is.
        x: the input.
        channels, rank: of x; None for any.
        rng: the generator of the forward pass, or None.
    """
    name = type(layer).__name__
    expected = f"({'B, H, W' if rank == 4 else '...'}, {channels or 'C'}) with nothing empty"
    check_array(f"{name}: x", x, f"an array {expected}")
    if x.ndim == 0 or x.size == 0 or x.shape[-1] != (channels or x.shape[-1]) or x.ndim != (rank or x.ndim):
        raise ValueError(f"{name}: x: got shape {x.shape}, expected {expected}")
    params = (param for _, part in layer._walk() for param in part.own_params.values())
    param = next(params, None)
    if param is None:
        if x.dtype not in (np.float32, np.float64) and not (on_gpu(x) and x.dtype.name in HALF_DTYPES):
            raise ValueError(f"{name}: x: got dtype {dtype_name(x.dtype)}, expected {' or '.join(DTYPES)}")
        param = x
    check_device(f"{name}: x", x, param)
    if not accepts_dtype(x, param):
        raise ValueError(f"{name}: x: got dtype {dtype_name(x.dtype)}, expected that of the parameters, {param.dtype}")
    if rng is not None:
        check_generator("rng", rng)


def check_device(name: str, x: Array, param: Array) -> None:
    """Raise a ValueError unless x is on the parameters' device."""
    if on_gpu(x) != on_gpu(param):
        way = "cupy.asarray(x), or model.to('cpu')" if on_gpu(param) else "x.get(), or model.to('cuda')"
        got, expected = device_of(x), device_of(param)
        raise ValueError(f"{name}: got an array on {got!r}, expected {expected!r}, where the parameters are: {way}")


def accepts_dtype(x: Array, param: Array) -> bool:
    """Whether x has the parameters' dtype, or 16 bits on a GPU with parameters in float32."""
    return x.dtype == param.dtype or (on_gpu(x) and param.dtype == np.float32 and x.dtype.name in HALF_DTYPES)


def _moved_to_gpu(array: Array) -> Array:
    try:
        return to_gpu(array)
    except cupy().cuda.memory.OutOfMemoryError as error:
        raise RuntimeError(f"the GPU has too little memory for the parameters: {error}") from error
