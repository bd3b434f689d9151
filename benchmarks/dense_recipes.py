"""How the dense models are trained on each data set of `dense_training.py`.

"preset" and "model" are the arguments of `npswin.create_model`, but for the number of classes and masks, which the data
have; "task" those of `SegmentationTask` or `DetectionTask`; "training" those of `TrainConfig`.
"""

from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    # CamVid: 11 classes of street scenes, 367 images of 240×180 to train on.
    "camvid": {
        "preset": "upernet_swin_nano",
        "model": {"dropout": 0.0},
        "task": {"crop_size": (176, 176), "shorter": 180, "longer": 720, "ratios": (0.75, 1.5), "colours": False},
        "training": {
            "epochs": 40,
            "batch_size": 4,
            "lr": 2e-3,
            "weight_decay": 0.05,
            "schedule": "poly",
            "warmup_epochs": 1,
            "clip_norm": 1.0,
        },
    },
    # Nuclei under the microscope: up to 375 in an image, of 256 pixels a side and more.
    "nuclei": {
        "preset": "mask_rcnn_swin_nano",
        "model": {
            "backbone": {"patch_size": 2},
            "rpn_samples": 256,
            "roi_samples": 256,
            "proposals_a_level": (1000, 1000),
            "proposals": 1000,
            "detections": 400,
        },
        "task": {"shorter_sides": (224, 256, 288), "longer": 512, "test_shorter": 256, "max_detections": 400},
        "training": {
            "epochs": 20,
            "batch_size": 4,
            "lr": 5e-4,
            "weight_decay": 0.05,
            "schedule": "poly",
            "warmup_epochs": 1,
            "clip_norm": 10.0,
        },
    },
    # BCCD: red and white blood cells and platelets, boxes alone, 205 images of 320×240 to train on.
    "bccd": {
        "preset": "mask_rcnn_swin_nano",
        "model": {"detections": 100, "proposals": 200, "proposals_a_level": (400, 400)},
        "task": {"shorter_sides": (192, 216, 240, 264, 288), "longer": 640, "test_shorter": 240},
        "training": {
            "epochs": 40,
            "batch_size": 4,
            "lr": 5e-4,
            "weight_decay": 0.05,
            "schedule": "poly",
            "warmup_epochs": 1,
            "clip_norm": 10.0,
        },
    },
}
