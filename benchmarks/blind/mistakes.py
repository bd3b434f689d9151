"""The list of all mistakes."""

import re
from importlib import import_module

from benchmarks.blind.swin import Port

THEMES = (
    "images",
    "patches",
    "norms",
    "norm_places",
    "shifts",
    "padding",
    "masks",
    "scores",
    "softmaxes",
    "attention",
    "attention_loops",
    "biases",
    "bias_sums",
    "mlps",
    "residuals",
    "merging",
    "heads",
    "losses",
    "backward_norms",
    "backward_activations",
    "backward_linear",
    "backward_attention",
    "backward_paths",
    "backward_losses",
    "gradients",
    "weights",
    "damaged_weights",
    "quantized",
    "precision",
    "approximations",
    "randomness",
    "exports",
    "layouts",
)


def identifier(mistake: type[Port]) -> str:
    """The name of the class in small letters: gain-missing for GainMissing."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", mistake.__name__).lower()


def all_mistakes() -> dict[str, type[Port]]:
    """All mistakes by identifier, theme by theme."""
    modules = [import_module(f"benchmarks.blind.{theme}") for theme in THEMES]
    found = [value for module in modules for value in vars(module).values() if is_mistake(value, module.__name__)]
    return {identifier(mistake): mistake for mistake in found}


def is_mistake(value: object, module: str) -> bool:
    """Whether a module's value is a mistake defined there."""
    return (
        isinstance(value, type)
        and issubclass(value, Port)
        and value.__module__ == module
        and bool(value.born and value.cause)
    )
