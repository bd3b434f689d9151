"""What some of a port's gradients have in common that the others do not, in words."""

from collections.abc import Callable

from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.gradient_symptoms import GradientSymptoms
from npswin.verify.port.text import join_names

MOST_MODULES = 3  # in words


def those(wrong: GradientSymptoms, tensors: list[str]) -> str:
    """What tensors have in common that the others do not, or their names."""
    dumped = {name.removeprefix(GRADIENT_PREFIX) for name in wrong.run.given if name.startswith(GRADIENT_PREFIX)}
    others, parameters = dumped - set(tensors), set(wrong.parameters)
    if not others:
        return "all tensors"
    what = "tensors"
    if set(tensors) <= parameters:
        others, what = others & parameters, "parameters"
        if not others:
            return "all parameters"
        for last in (1, 2):  # components of the name
            endings = {".".join(name.split(".")[-last:]) for name in tensors}
            if len(endings) == 1 and not any(f".{name}".endswith(f".{next(iter(endings))}") for name in others):
                return f"all parameters named {next(iter(endings))}"
        for kind, belongs in _kinds(wrong).items():
            if all(map(belongs, tensors)) and not any(map(belongs, others)):
                return f"all {kind}"
    prefixes = _prefixes(tensors, others)
    if prefixes:
        return f"all of {join_names(prefixes)}"
    for part in ("attn", "mlp", "downsample", *{name.partition(".blocks.")[2].partition(".")[0] for name in tensors}):
        within = f".blocks.{part}." if part.isdigit() else f".{part}."
        if part and all(within in name for name in tensors) and not any(within in name for name in others):
            return f"all {what} in {within.strip('.')}"
    excepted = _prefixes(sorted(others), set(tensors))
    return f"all {what} but those of {join_names(excepted)}" if excepted else join_names(tensors)


def _kinds(wrong: GradientSymptoms) -> dict[str, Callable[[str], bool]]:
    """Kinds of parameters, such as those that an optimizer treats alike."""

    def axes(name: str) -> int:
        return wrong.run.value(name).ndim

    return {
        "norms": _is_of_norm,
        "parameters with two or more axes": lambda name: axes(name) > 1,
        "weights with two or more axes": lambda name: axes(name) > 1 and name.endswith(".weight"),
        "parameters with one axis": lambda name: axes(name) == 1,
        "linear layers": lambda name: not _is_of_norm(name) and name.endswith((".weight", ".bias")),
        "biases of linear layers": lambda name: not _is_of_norm(name) and name.endswith(".bias"),
        "biases of linear layers but the patch embedding's": lambda name: (
            not _is_of_norm(name) and name.endswith(".bias") and not name.startswith("patch_embed.")
        ),
        "parameters of norms, and biases": lambda name: _is_of_norm(name) or name.endswith(".bias"),
    }


def _is_of_norm(name: str) -> bool:
    return "norm" in name.split(".")[-2:][0]


def _prefixes(tensors: list[str], others: set[str]) -> list[str]:
    """The modules that have exactly these tensors; none if there are too many of them."""
    found: list[str] = []
    for name in sorted(tensors):
        parts = name.split(".")
        if any(name == prefix or name.startswith(prefix + ".") for prefix in found):
            continue
        prefixes = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
        own = [one for one in prefixes if not any(other == one or other.startswith(one + ".") for other in others)]
        if not own:  # a block's output, whose name begins those of the block's other tensors
            return []
        found.append(own[0])
    return found if len(found) <= min(MOST_MODULES, len(tensors) - 1) else []
