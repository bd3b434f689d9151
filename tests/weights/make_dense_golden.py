"""Make the files dense_*.safetensors in golden/: small dense models of other projects, and what they compute.

    python -m tests.weights.make_dense_golden NAME ...

makes those named, with the libraries that are installed. The committed ones were made with transformers 5.24.0,
mmsegmentation 1.2.2 and mmdetection 3.3.0 (mmcv-lite 2.2.0) under torch 2.13.0, and with torchvision 0.29.1 under torch
2.14.1.

Weights and inputs are rounded to float16, in which the files store them exactly; outputs are computed in float64. Of
detectors, each head has an input of its own, so that nothing but the weights counts.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from npswin.weights import load_tensors, save_tensors
from tests.weights import dense_peers as peers

FOLDER = Path(__file__).parent / "golden"
GOLDEN = {
    "dense_transformers": (("transformers", "torch"), peers.transformers_upernet),
    "dense_mmsegmentation": (("mmsegmentation", "torch"), peers.mmsegmentation_upernet),
    "dense_mmdetection": (("mmdet", "torch"), lambda: peers.mmdetection_rcnn(1)),
    "dense_torchvision": (("torchvision", "torch"), peers.torchvision_mask_rcnn),
}
SIDES = {"images": (3, 16, 16), "map0": (4, 8, 8), "map1": (8, 4, 4), "box": (4, 7, 7), "mask": (4, 5, 5)}


def is_segmenter(name):
    """Whether a file's model is a UPerNet; otherwise it is a Mask R-CNN."""
    return name in ("dense_transformers", "dense_mmsegmentation")


def outputs_of(name, module, given):
    """What the peer computes, under npswin's names of the parts; channels first, the background last."""
    import torch

    if is_segmenter(name):
        maps = module.backbone(given["images"])
        logits = module.decode_head(maps.feature_maps if name == "dense_transformers" else maps)
        return {"logits": torch.nn.functional.interpolate(logits, scale_factor=2, mode="bilinear")}
    maps = [given["map0"], given["map1"]]
    if name == "dense_mmdetection":
        pyramid = module.neck(maps)
        (objectness,), (moves,) = module.rpn_head([pyramid[0]])
        logits, deltas = module.roi_head.bbox_head(given["box"])
        masks = module.roi_head.mask_head(given["mask"])
    else:
        pyramid = list(module.backbone.fpn({str(level): x for level, x in enumerate(maps)}).values())
        (objectness,), (moves,) = module.rpn.head([pyramid[0]])
        logits, deltas = module.roi_heads.box_predictor(module.roi_heads.box_head(given["box"]))
        masks = module.roi_heads.mask_predictor(module.roi_heads.mask_head(given["mask"]))[:, 1:]
        logits, deltas = torch.roll(logits, -1, 1), deltas[:, 4:]
    found = {f"pyramid{level}": x for level, x in enumerate(pyramid)}
    return found | {"objectness": objectness, "moves": moves, "logits": logits, "deltas": deltas, "masks": masks}


def redraw(module, rng):
    """Other weights and running statistics, which are large enough for each to count."""
    import torch

    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        shape = tuple(tensor.shape)
        if name.endswith("running_var"):
            values = rng.uniform(0.5, 2, shape)
        else:
            is_gain = tensor.ndim == 1 and bool((tensor == 1).all())
            scale = 0.3 if tensor.ndim < 2 else tensor[0].numel() ** -0.5
            values = is_gain + scale * rng.standard_normal(shape)
        tensor.copy_(torch.from_numpy(values.astype(np.float16).astype(np.float64)))


def state_of(name, module):
    """The module's tensors under the names that its files have."""
    if name == "dense_transformers":
        with TemporaryDirectory() as folder:
            module.save_pretrained(folder)
            return load_tensors(Path(folder) / "model.safetensors")[0]
    return {key: value.numpy() for key, value in module.state_dict().items()}


def make(name):
    """Write one golden file."""
    import torch

    libraries, build = GOLDEN[name]
    rng = np.random.default_rng(list(name.encode()))
    module = build().double().train(False)
    with torch.no_grad():
        redraw(module, rng)
        inputs = {key: rng.standard_normal((1, *shape)).astype(np.float16) for key, shape in SIDES.items()}
        inputs = {key: value for key, value in inputs.items() if (key == "images") == is_segmenter(name)}
        given = {key: torch.from_numpy(value.astype(np.float64)) for key, value in inputs.items()}
        outputs = outputs_of(name, module, given)
        state = state_of(name, module)
    tensors = {key: _small(value) for key, value in state.items()}
    tensors |= {f"golden/inputs/{key}": value for key, value in inputs.items()}
    tensors |= {f"golden/outputs/{key}": value.numpy() for key, value in outputs.items()}
    made_with = ", ".join(f"{library} {version(library)}" for library in libraries)
    save_tensors(FOLDER / f"{name}.safetensors", tensors, {"made_with": made_with})
    print(f"{name}: {made_with}")


def _small(value):
    return value.astype(np.float16) if np.issubdtype(value.dtype, np.floating) else value


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        make(wanted)
