"""Results of peers in files, so that they can be compared with where the peers are not installed.

python -m tests.peers.golden     writes the files; needs pip install 'npswin[peers]'
"""

from dataclasses import fields
from pathlib import Path

from safetensors.numpy import load_file, save_file

from tests.peers.reference import Case, Reference, run

FOLDER = Path(__file__).with_name("golden")
MINI = {
    "embed_dim": 4,
    "depths": (2, 2),
    "num_heads": (1, 2),
    "patch_size": 2,
    "window_size": 3,
    "num_classes": 3,
    "mlp_ratio": 2.0,
}
MINI_OTHER = {
    "embed_dim": 3,
    "depths": (2, 2, 2, 2),
    "num_heads": (1, 2, 1, 1),
    "head_dim": 2,
    "patch_size": 2,
    "num_classes": 3,
}

GOLDEN_CASES = [
    Case("shifted", "transformers", {**MINI, "img_size": 24}, (2, 3, 24, 24)),
    Case("padded-odd", "transformers", {**MINI, "img_size": 64, "in_chans": 1}, (2, 1, 19, 14), always_partition=True),
    Case(
        "absolute-embedding", "transformers", {**MINI, "img_size": 24, "ape": True, "qkv_bias": False}, (1, 3, 24, 24)
    ),
    Case("shared-bias", "swin-transformer-pytorch", {**MINI_OTHER, "position_bias": "shared"}, (1, 3, 32, 32)),
    Case("full-bias", "swin-transformer-pytorch", {**MINI_OTHER, "position_bias": "full"}, (1, 3, 32, 32)),
]


def _file(case: Case) -> Path:
    return FOLDER / f"{case.peer}-{case.name}.safetensors"


def write_golden(case: Case) -> None:
    """Run the peer and write its results to the case's file."""
    reference = run(case)
    tensors = {}
    for field in fields(Reference):
        value = getattr(reference, field.name)
        if isinstance(value, dict):
            tensors |= {f"{field.name}/{name}": tensor for name, tensor in value.items()}
        else:
            tensors[field.name] = value
    FOLDER.mkdir(exist_ok=True)
    save_file({name: tensor.copy(order="C") for name, tensor in tensors.items()}, _file(case))


def read_golden(case: Case) -> Reference:
    """The peer's results from the case's file."""
    tensors = load_file(_file(case))
    parts = {}
    for field in fields(Reference):
        prefix = f"{field.name}/"
        of_field = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        parts[field.name] = of_field or tensors[field.name]
    return Reference(**parts)


if __name__ == "__main__":
    for each in GOLDEN_CASES:
        write_golden(each)
        print(_file(each).name, _file(each).stat().st_size, "bytes")
