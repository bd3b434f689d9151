"""State dicts in the files that training programs write: in dictionaries in dictionaries, beside much else."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from npswin.files import listed
from npswin.weights.files import WeightFileError
from npswin.weights.layout_search import AVERAGE_OR_STUDENT, find_candidates

DEEPEST = 5  # dictionaries in each other
DEEPEST_MODULE = 50
LONGEST_LIST = 100  # items of a list that are looked into
MOST_DICTIONARIES = 10_000  # that are looked into
# Before others where names decide nothing.
_USUAL = ("model", "state_dict", "module", "net", "network", "backbone", "weights", "params")


def find_state_dicts(
    value: Any, is_tensor: Callable[[Any], bool], attributes: Callable[[Any], Any]
) -> dict[str, Mapping[str, Any]]:
    """The dictionaries of tensors in a value, by where they are: "" for the value itself, "model", "a.b", or "0" for
    the first item of a list.

    A whole module of PyTorch, as `torch.save(model)` writes it, counts as the dictionary of its state.

    Args:
        value: what a file holds.
        is_tensor: whether an object is one.
        attributes: of an object that is no dictionary, by name; None where it has none.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for place, dictionary in _dictionaries(value, attributes):
        tensors = {key: one for key, one in dictionary.items() if isinstance(key, str) and is_tensor(one)}
        if tensors:
            found[place] = tensors
    return found


def choose_state_dict(found: Mapping[str, Mapping[str, Any]], key: str | None, origin: str) -> str:
    """Where the model's state dict is: the one with most names of Swin's parameters, no average if there are both.

    Args:
        found: state dicts by where they are.
        key: where it is by the user's choice, or None.
        origin: the file, for messages.

    Raises:
        WeightFileError: there is none, or not where it should be.
    """
    places = listed([repr(place) for place in found]) or "none"
    if not found:
        raise WeightFileError(f"{origin}: holds no dictionary of tensors by name, such as a model's state_dict()")
    if key is not None:
        if key not in found:
            raise WeightFileError(f"{origin}: has no tensors at {key!r}, expected one of {places}")
        return key
    return min(found, key=lambda place: _rank(place, found[place]))


def _rank(place: str, tensors: Mapping[str, Any]) -> tuple[int, bool, int, int, int]:
    candidates = find_candidates(tensors)
    fitting = candidates[0].fitting if candidates else 0
    last = place.rpartition(".")[2]
    usual = _USUAL.index(last) if last in _USUAL else len(_USUAL)
    return -fitting, bool(AVERAGE_OR_STUDENT.search(place)), -len(tensors) if not fitting else 0, usual, len(place)


def _dictionaries(value: Any, attributes: Callable[[Any], Any]) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Each dictionary in a value, with where it is, outer ones first; each once, though it may contain itself."""
    waiting, seen = [("", value, 0)], set[int]()
    for place, one, depth in waiting:
        if id(one) in seen or len(seen) > MOST_DICTIONARIES:
            continue
        seen.add(id(one))
        if isinstance(state := attributes(one), Mapping) and isinstance(state.get("_modules"), Mapping):
            yield place, dict(_module_tensors(one, attributes, "", 0))
            continue
        inside: Mapping[Any, Any] = {}
        if isinstance(one, Mapping):
            yield place, one
            inside = {key: part for key, part in one.items() if isinstance(key, str)}
        elif isinstance(one, list | tuple):
            inside = dict(enumerate(one[:LONGEST_LIST]))
        if depth < DEEPEST:
            waiting += [(f"{place}.{key}".removeprefix("."), part, depth + 1) for key, part in inside.items()]


def _module_tensors(
    module: Any, attributes: Callable[[Any], Any], prefix: str, depth: int
) -> Iterator[tuple[str, Any]]:
    """The tensors of a module of PyTorch and those in it, named as in its state_dict()."""
    state = attributes(module)
    if not isinstance(state, Mapping) or depth > DEEPEST_MODULE:
        return
    for kind in ("_parameters", "_buffers"):
        if isinstance(tensors := state.get(kind), Mapping):
            yield from ((f"{prefix}{name}", tensor) for name, tensor in tensors.items())
    if isinstance(modules := state.get("_modules"), Mapping):
        for name, part in modules.items():
            yield from _module_tensors(part, attributes, f"{prefix}{name}.", depth + 1)
