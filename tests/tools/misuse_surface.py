"""The public functions and methods that take arguments, discovered from `__all__` of the packages."""

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

PACKAGES = (
    *("npswin.data", "npswin.layers", "npswin.models", "npswin.training", "npswin.verify", "npswin.weights"),
    *("npswin.backends", "npswin"),
)
# Of modules without `__all__`, whose other functions take any value or a GPU's.
MORE = {"npswin.devices": ("half_dtype",)}
OPS = "npswin.ops"
METHODS = ("__init__", "__call__")

# What the package makes and returns; nobody else calls the constructor. Lookups by name are those of a dictionary.
RESULTS = (
    *("Comparison", "DetectionBatch", "DetectionEvaluation", "Diagnosis", "DumpComparison", "Evaluation", "Flops"),
    *("GradcheckReport", "LoadReport", "Prediction", "Run", "SegmentationBatch", "Trace"),
)
# A trainer calls them, with what it has checked.
OF_A_TASK = (
    *("check", "loss_names", "describe", "channel_statistics", "load", "augment", "prepare", "size"),
    *("forward_backward", "evaluate", "predict"),
)
NOT_CALLED = {
    **{f"{name}.__init__": "the package makes it" for name in RESULTS},
    **{
        f"{task}.{method}": "a trainer calls it"
        for task in ("DetectionTask", "SegmentationTask")
        for method in OF_A_TASK
    },
    "Layer.forward": "each layer has its own",
    "Layer.backward": "each layer has its own",
    "Layer.__call__": "each layer has its own",
    "AnswerKey.positions": "a lookup by name, as that of a dictionary",
    "Trace.positions": "a lookup by name, as that of a dictionary",
    "capture": "a right call needs a GPU or the cpu backend",
}


class Entry(NamedTuple):
    """A public function or method.

    Attributes:
        name: with its package and class, such as "npswin.layers.Linear.forward".
        function: what is called; of a method the function, of `__init__` the class.
        parameters: that it takes, without `self`.
        errors: names of the classes of errors that its docstring mentions.
    """

    name: str
    function: Callable[..., Any]
    parameters: list[inspect.Parameter]
    errors: frozenset[str]


def public_surface(packages=(*PACKAGES, *MORE)) -> list[Entry]:
    """Every public function and method with arguments, once; old names of renamed ones are left out."""
    entries, seen = [], set()
    public = {id(value) for package in packages for value in vars(importlib.import_module(package)).values()}
    for package in packages:
        module = importlib.import_module(package)
        for name in MORE.get(package) or module.__all__:
            value = getattr(module, name)
            if not callable(value) or id(value) in seen:
                continue
            seen.add(id(value))
            if not inspect.isclass(value):
                entries.append(entry_of(f"{package}.{name}", value))
            elif not issubclass(value, BaseException):
                entries += _methods(f"{package}.{name}", value, public)
    called = [entry for entry in entries if entry.parameters]
    return [entry for entry in called if not any(entry.name.endswith(f".{name}") for name in NOT_CALLED)]


def _methods(name: str, cls: type, public: set[int]) -> list[Entry]:
    """Those that a class defines itself, or takes from a base class that is not public."""
    found = {}
    for base in cls.__mro__:
        if base is cls or (base.__module__.startswith("npswin.") and id(base) not in public):
            for method, function in vars(base).items():
                if inspect.isfunction(function) and (not method.startswith("_") or method in METHODS):
                    found.setdefault(method, function)
    entries = []
    for method, function in found.items():
        if (function.__doc__ or "").startswith("Old name of"):
            continue
        if method == "__init__":
            entries.append(entry_of(f"{name}.__init__", cls))
        else:
            entry = entry_of(f"{name}.{method}", function)
            entries.append(entry._replace(parameters=entry.parameters[1:]))
    return entries


def entry_of(name: str, function: Callable[..., Any], definition: Callable[..., Any] | None = None) -> Entry:
    """The entry of a function; its parameters and its docstring are those of its definition, if that is another."""
    definition = definition or function
    errors = frozenset(re.findall(r"\b(\w+Error|\w+Interrupted)(?=:)", definition.__doc__ or ""))
    return Entry(name, function, list(inspect.signature(definition).parameters.values()), errors)
