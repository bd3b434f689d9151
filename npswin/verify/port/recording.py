"""The tensors that were recorded while a module of another framework ran."""

from collections.abc import Callable, Mapping
from os import PathLike

from npswin.checks import check_callable
from npswin.types import Array
from npswin.weights import save_tensors

Naming = Mapping[str, str] | Callable[[str], str | None] | None
NameOf = Callable[[str], str | None]  # from a submodule's path to the key's name, or None

NOTHING_CALLED = "watch: no module to be recorded was called; call them inside the with block, uncompiled"
LEFT_ON = "watch: left on, though a key has nothing random (in PyTorch module.eval() switches it off)"


class Recording:
    """The tensors that were recorded.

    Attributes:
        tensors: by the key's name, gradients as "grad/" + name; further tensors may be added.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Array] = {}

    def save(self, path: str | PathLike[str]) -> None:
        """Write the tensors to a safetensors file, for `npswin compare`."""
        save_tensors(path, self.tensors)


def name_function(names: Naming) -> NameOf:
    """The `names` argument of `watch` as a function; None stands for the path itself."""
    if names is None:
        return lambda path: path
    return names.get if isinstance(names, Mapping) else check_callable("names", names, "a dictionary or a function")
