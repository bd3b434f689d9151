"""Which layout names belong to, and below which prefix: found by how many names have the structure of Swin's.

A model is often a part of another one: `backbone.` of a detector, `module.` of DataParallel, `model_ema.` beside
`model.`. So each name is tried without each of its beginnings, in each layout, and the prefix and layout in which most
names are a parameter's are the model's. Other names are other parts: a decoder, a neck, a copy of the model.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from npswin.weights import layout_openmmlab, layout_renames, layout_transformers, layout_unfold
from npswin.weights.layout_renames import Rule, official_name

TRAINING_PREFIX = "training/"  # of the tensors in a training checkpoint that are not weights
BUFFERS = ("relative_position_index", "attn_mask")  # constants that some projects save with their weights
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # PyTorch's, anywhere in a name
LONGEST_PREFIX = 10  # parts
MOST_CANDIDATES = 8

RULES: dict[str, list[Rule]] = {
    **layout_renames.RULES,
    "transformers": layout_transformers.RULES,
    "swin-transformer-pytorch": layout_unfold.RULES,
    "openmmlab": layout_openmmlab.RULES,
}
LAYOUTS = tuple(RULES)

_BLOCK_PARAMETER = (
    r"layers\.\d+\.blocks\.\d+\.(?:(?:norm[12]|attn\.(?:qkv|proj|q|k|v)|mlp\.fc[12])\.(?:weight|bias)"
    r"|attn\.(?:(?:relative_)?position_bias_table|pos_embedding))"
)
_MERGING_PARAMETER = r"layers\.\d+\.downsample\.(?:norm|reduction)\.(?:weight|bias)"
_OTHER_PARAMETER = r"(?:patch_embed\.(?:proj|norm)|norm|head)\.(?:weight|bias)|absolute_pos_embed"
_PARAMETER = re.compile(f"{_BLOCK_PARAMETER}|{_MERGING_PARAMETER}|{_OTHER_PARAMETER}")

# The names of each layout. timm's differ from the official ones in patch merging and the head only.
_NAMES = {layout: re.compile("|".join(pattern for pattern, _ in rules)) for layout, rules in RULES.items() if rules}
_NAMES["official"] = _PARAMETER
_NAMES["timm"] = re.compile(f"{_NAMES['timm'].pattern}|{_BLOCK_PARAMETER}|{_OTHER_PARAMETER.replace('|head', '')}")

# Parts of which a file may hold the model beside a copy of it: an average of the weights, or the half of a
# self-supervised pair that is not evaluated.
AVERAGE_OR_STUDENT = re.compile(r"(?<![a-z])ema(?![a-z])|average|student|momentum|_k\.|target", re.IGNORECASE)
# Before names like norm.weight, which many models have, a prefix has to be one of these.
_COMMON_PREFIX = re.compile(r"(?:(?:model|module|backbone|encoder|net|swin)\.)*")


@dataclass(frozen=True)
class Candidate:
    """A layout, and a prefix below which names have it.

    Attributes:
        layout: one of LAYOUTS.
        prefix: of the model's names, "" or with a dot at its end.
        names: each key of the model -> its name without prefix and wrappers.
        others: keys that are not below the prefix.
        fitting: how many names are parameters'.
        has_blocks: whether names of a block's or a merging's parameters are among them.
        copies: other prefixes below which as many names have the same layout.
    """

    layout: str
    prefix: str
    names: dict[str, str]
    others: list[str]
    fitting: int = 0
    has_blocks: bool = False
    copies: tuple[str, ...] = ()

    def of(self, keys: Iterable[str]) -> "Candidate":
        """The same layout and prefix for other keys of the same model, such as a part of them."""
        return _candidate(self.layout, self.prefix, {key: without_wrappers(key) for key in weight_names(keys)})


def find_candidates(keys: Iterable[str]) -> list[Candidate]:
    """Layouts and prefixes in which these keys have names of parameters, those of most keys first; at most eight."""
    names = {key: without_wrappers(key) for key in keys if _is_weight(key)}
    found: dict[tuple[str, str], list[str]] = {}
    for name in names.values():
        for layout, prefix, official in _readings(name):
            found.setdefault((layout, prefix), []).append(official)
    counts = {
        (layout, prefix): _count(layout, officials)
        for (layout, prefix), officials in found.items()
        if any(one.startswith("layers.") for one in officials) or _COMMON_PREFIX.fullmatch(prefix)
    }
    ranked = sorted(counts, key=lambda one: _rank(one, counts[one]))[:MOST_CANDIDATES]
    return [
        replace(
            _candidate(*one, names),
            fitting=counts[one],
            has_blocks=any(official.startswith("layers.") for official in found[one]),
            copies=_copies(one, counts),
        )
        for one in ranked
    ]


def weight_names(keys: Iterable[str]) -> list[str]:
    """The keys that are weights': constants and the state of a training run are left out."""
    return [key for key in keys if _is_weight(key)]


def _is_weight(key: str) -> bool:
    return not key.startswith(TRAINING_PREFIX) and key.rpartition(".")[2] not in (*BUFFERS, *layout_unfold.MASKS)


def without_wrappers(key: str) -> str:
    """A key without the names that PyTorch's wrappers of modules put into it."""
    for wrapper in WRAPPERS:
        key = key.replace(wrapper, "")
    return key


def _readings(name: str) -> Iterator[tuple[str, str, str]]:
    """Each layout and prefix in which a name is a parameter's, with the parameter's official name."""
    start = 0
    for _ in range(LONGEST_PREFIX + 1):
        for layout, pattern in _NAMES.items():
            if pattern.fullmatch(name, start):
                official = official_name(name[start:], RULES[layout])
                if _PARAMETER.fullmatch(official):
                    yield layout, name[:start], official
        start = name.find(".", start) + 1
        if not start:
            return


def _count(layout: str, officials: list[str]) -> int:
    """The parameters among these official names; the last stage has no patch merging."""
    if layout != "official":
        return len(officials)
    last = max((int(one.split(".")[1]) for one in officials if one.startswith("layers.")), default=0)
    return sum(not one.startswith(f"layers.{last}.downsample.") for one in officials)


def _rank(candidate: tuple[str, str], count: int) -> tuple[int, bool, int, int]:
    layout, prefix = candidate
    return -count, bool(AVERAGE_OR_STUDENT.search(prefix)), len(prefix), LAYOUTS.index(layout)


def _candidate(layout: str, prefix: str, names: dict[str, str]) -> Candidate:
    own = {key: name.removeprefix(prefix) for key, name in names.items() if name.startswith(prefix)}
    body = _body_prefix(layout, own.values())
    inside = {key: name for key, name in own.items() if name.startswith(body) or _NAMES[layout].fullmatch(name)}
    return Candidate(layout, prefix, inside, [key for key in names if key not in inside])


def _copies(candidate: tuple[str, str], counts: dict[tuple[str, str], int]) -> tuple[str, ...]:
    """Other prefixes with as many names of the layout, neither of which is the beginning of the other."""
    layout, prefix = candidate
    others = [other for kind, other in counts if kind == layout and counts[kind, other] == counts[candidate]]
    return tuple(other for other in others if not other.startswith(prefix) and not prefix.startswith(other))


def _body_prefix(layout: str, names: Iterable[str]) -> str:
    """What a layout's own names begin with, except a head's: "swin.", "backbone.", or "" where most have none."""
    own = {"transformers": "swin.", "openmmlab": "backbone.", "torchvision": "body."}.get(layout, "")
    starts = Counter(name.startswith(own) for name in names if _NAMES[layout].fullmatch(name))
    return own if starts[True] > starts[False] else ""
