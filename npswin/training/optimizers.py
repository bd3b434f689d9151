"""AdamW, SGD and gradient clipping."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import (
    LARGEST_COUNT,
    check_array,
    check_instance,
    check_integer,
    check_number,
    check_numbers,
    check_text,
    describe,
)
from npswin.deprecation import renamed_function
from npswin.devices import on_gpu, to_device_of
from npswin.files import listed
from npswin.training.trainable import Trainable, check_model, require_same_arrays
from npswin.types import Array


def decays(name: str, param: Array) -> bool:
    """Whether weight decay applies to a parameter.

    As in the official code of classification, it does not apply to norms and biases (one axis), position bias tables
    and the absolute position embedding; it applies to the weights of linear layers and convolutions (two and four
    axes). The official recipes of dense tasks except only LayerNorm, tables and the embedding: there, biases and
    batch norm's weights decay as well.

    Args:
        name: the parameter's official name.
        param: its array.
    """
    check_text("name", name)
    check_array("param", param)
    return param.ndim > 1 and not name.endswith(("position_bias_table", "absolute_pos_embed"))


def clip_gradients(model: Trainable, max_norm: float) -> float:
    """Scale the gradients down to a norm of at most `max_norm`, as `torch.nn.utils.clip_grad_norm_` does.

        g ← g · min(1, max_norm / (‖g‖ + 1e-6)), with ‖g‖ over all parameters together

    Args:
        model: its `grads` are scaled in place.
        max_norm: positive; with infinity nothing is scaled.

    Returns:
        ‖g‖ before clipping. Where it is not finite, the gradients are not changed.

    Raises:
        ValueError: `max_norm` is not positive.
    """
    check_model(model, "grads")
    max_norm = check_number("max_norm", max_norm, above=0, finite=False)
    grads = model.grads
    norm = float(dispatch.global_norm(grads.values()))
    factor = gradient_scale(norm, max_norm)
    if factor < 1:  # False for NaN
        for grad in grads.values():
            grad *= factor
    return norm


def gradient_scale(norm: Any, max_norm: float | None, loss_scale: float = 1.0) -> Any:
    """The factor on all gradients that clips them and removes the loss scale.

    Args:
        norm: of all gradients, without the loss scale; on a GPU a 0-dimensional array, and so is the result.
        max_norm: as in `clip_gradients`, or None for no clipping.
        loss_scale: the factor that the gradients contain.

    Returns:
        The factor. It is not finite where the norm is not; the optimizers then change nothing.
    """
    share = 1.0 if max_norm is None else np.minimum(1.0, max_norm / (norm + 1e-6))
    factor = (share + 0 * norm) / loss_scale  # 0 · inf is NaN
    return factor if on_gpu(norm) else float(factor)


class _Optimizer:
    """The model's parameters, and the optimizer's state: one array for each parameter and kind, such as Adam's m.

    Attributes:
        lr: the learning rate of the next step; set it before each step to follow a schedule.
        steps: done so far.
    """

    _state_kinds: tuple[str, ...]

    def __init__(self, model: Trainable, lr: float, weight_decay: float) -> None:
        check_model(model, "params", "grads")
        self._params = model.params
        self._dtype = next(iter(self._params.values())).dtype if self._params else np.dtype(np.float64)
        self.lr = self._checked_rate("lr", lr)
        self.weight_decay = self._checked_rate("weight_decay", weight_decay)
        self.steps = 0
        self._decays = [decays(name, param) for name, param in self._params.items()]
        self._model = model
        self._state = {
            kind: {name: np.zeros_like(param) for name, param in self._params.items()} for kind in self._state_kinds
        }

    def _checked_rate(self, name: str, value: Any) -> float:
        return check_number(name, value, at_least=0, dtype=self._dtype)

    def step(self, grad_scale: Any = 1.0) -> None:
        """Update all parameters in place from `model.grads`.

        Args:
            grad_scale: factor on the gradients, see `gradient_scale`. Where it is not finite, nothing changes.

        Raises:
            ValueError: the factor is no number, or an attribute such as `lr` was set to something out of its range.
        """
        self.update_params(self.lr, self.steps + 1, grad_scale)
        self.steps += 1

    def update_params(self, lr: Any, step: Any, grad_scale: Any) -> None:
        """Update parameters and state as `step` does, with these scalars, and without counting the step.

        Args:
            lr: η; each may also be a 0-dimensional array on the GPU.
            step: t, from 1.
            grad_scale: as in `step`.

        Raises:
            ValueError: as in `step`.
        """
        lr = lr if on_gpu(lr) else self._checked_rate("lr", lr)
        step = step if on_gpu(step) else check_integer("step", step, 1, LARGEST_COUNT)
        grad_scale = grad_scale if on_gpu(grad_scale) else check_number("grad_scale", grad_scale, finite=False)
        decay = self._checked_rate("weight_decay", self.weight_decay)
        require_same_arrays(self._model.params, self._params, "the optimizer")
        grads = self._model.grads
        states = [list(arrays.values()) for arrays in self._state.values()]
        weight_decays = [decay if decays else 0.0 for decays in self._decays]
        ordered_grads = [grads[name] for name in self._params]
        self._update(lr, step, grad_scale, list(self._params.values()), ordered_grads, *states, weight_decays)

    apply = renamed_function("apply", update_params)

    def _update(self, lr: Any, step: Any, grad_scale: Any, *arrays: Any) -> None:
        raise NotImplementedError

    def state(self) -> dict[str, Array]:
        """The optimizer's state, for a checkpoint.

        Returns:
            "step" (a 0-dimensional int64), and "KIND.NAME" for each parameter, such as "m.head.bias". Not copies.
        """
        flat = {f"{kind}.{name}": array for kind, arrays in self._state.items() for name, array in arrays.items()}
        return {"step": np.array(self.steps, np.int64), **flat}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Set the state to a copy of what `state()` returned.

        Args:
            state: of the same optimizer on a model with the same parameters.

        Raises:
            ValueError: a missing, unexpected or misshapen entry. Nothing is changed then.
        """
        own = self.state()
        check_instance("state", state, Mapping, "what state() returned")
        if wrong := sorted(own.keys() ^ state.keys(), key=str):
            raise ValueError(f"state: missing or unexpected entries {listed(map(str, wrong))}")
        steps = check_integer("state['step']", state["step"], 0)
        del own["step"]
        for key, array in own.items():
            found = check_array(f"state[{key!r}]", state[key], describe(array))
            if array.shape != found.shape or array.dtype != found.dtype:
                raise ValueError(f"state[{key!r}]: got {describe(found)}, expected {describe(array)}")
        self.steps = steps
        for key, array in own.items():
            array[...] = to_device_of(state[key], array)


class AdamW(_Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019); see `npswin.ops.optimizer.adamw_update`.

    Args:
        model: its parameters are updated, from its gradients.
        lr: learning rate η.
        betas: (β₁, β₂), each in [0, 1).
        eps: ε, positive.
        weight_decay: λ, for the parameters that decay.

    Raises:
        ValueError: an argument out of its range.
    """

    _state_kinds = ("m", "v")

    def __init__(
        self,
        model: Trainable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.05,
    ) -> None:
        super().__init__(model, lr, weight_decay)
        self.betas: tuple[float, ...] = betas
        self.eps = eps
        self.betas, self.eps = self._checked_settings()

    def _checked_settings(self) -> tuple[tuple[float, ...], float]:
        betas = check_numbers("betas", self.betas, 2, at_least=0, below=1)
        return betas, check_number("eps", self.eps, above=0, dtype=self._dtype)

    def _update(self, lr: Any, step: Any, grad_scale: Any, *arrays: Any) -> None:
        params, grads, ms, vs, weight_decays = arrays
        betas, eps = self._checked_settings()
        dispatch.adamw_update_all(params, grads, ms, vs, lr, *betas, eps, weight_decays, step, grad_scale)


class SGD(_Optimizer):
    """Gradient descent with momentum; see `npswin.ops.optimizer.sgd_update`.

    Args:
        model: its parameters are updated, from its gradients.
        lr: learning rate η.
        momentum: μ in [0, 1).
        weight_decay: λ, for the parameters that decay.

    Raises:
        ValueError: an argument out of its range.
    """

    _state_kinds = ("velocity",)

    def __init__(self, model: Trainable, lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(model, lr, weight_decay)
        self.momentum = check_number("momentum", momentum, at_least=0, below=1)

    def _update(self, lr: Any, step: Any, grad_scale: Any, *arrays: Any) -> None:
        params, grads, velocities, weight_decays = arrays
        momentum = check_number("momentum", self.momentum, at_least=0, below=1)
        dispatch.sgd_update_all(params, grads, velocities, lr, momentum, weight_decays, grad_scale)
