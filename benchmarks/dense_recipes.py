"""How the dense models are trained on each data set of `dense_training.py`.

"preset" and "model" are the arguments of `npswin.create_model`, but for the number of classes and masks, which the data
have; "task" those of `SegmentationTask` or `DetectionTask`; "training" those of `TrainConfig`.
"""

from typing import Any

_TRAINING = {"weight_decay": 0.05, "schedule": "poly", "ema_decay": 0.998}

RECIPES: dict[str, dict[str, Any]] = {
    # CamVid: 11 classes of street scenes, 367 images of 240×180 to train on. Without dropout, which transformers'
    # UPerNet does not have.
    "camvid": {
        "preset": "upernet_swin_nano",
        "model": {"dropout": 0.0},
        "task": {"crop_size": (180, 240), "shorter": 180, "longer": 960, "ratios": (0.75, 1.5)},
        "training": {**_TRAINING, "epochs": 30, "batch_size": 4, "lr": 2e-3, "warmup_epochs": 1, "clip_norm": 1.0},
    },
    # Nuclei under the microscope: up to 375 in an image, half of them smaller than 14 pixels, so that the finest map
    # has a stride of 2 and anchors begin at 8 pixels.
    "nuclei": {
        "preset": "mask_rcnn_swin_nano",
        "model": {
            "backbone": {"patch_size": 2},
            "rpn_samples": 256,
            "roi_samples": 128,
            "proposals_a_level": (800, 800),
            "proposals": 500,
            "detections": 400,
        },
        "task": {
            "shorter_sides": (205, 230, 256, 282, 307),
            "longer": 1024,
            "test_shorter": 256,
            "crop_size": (160, 160),
            "max_detections": 400,
        },
        "training": {**_TRAINING, "epochs": 16, "batch_size": 2, "lr": 1e-3, "warmup_epochs": 0.5, "clip_norm": 10.0},
    },
    # BCCD: red and white blood cells and platelets, boxes alone, 205 images of 320×240 to train on.
    "bccd": {
        "preset": "mask_rcnn_swin_nano",
        "model": {
            "rpn_samples": 128,
            "roi_samples": 128,
            "proposals_a_level": (300, 300),
            "proposals": 200,
            "detections": 100,
        },
        "task": {"shorter_sides": (154, 173, 192, 211, 230), "longer": 768, "test_shorter": 192},
        "training": {**_TRAINING, "epochs": 24, "batch_size": 2, "lr": 1e-3, "warmup_epochs": 2, "clip_norm": 10.0},
    },
}
