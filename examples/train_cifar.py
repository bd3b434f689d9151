"""Train a Swin Transformer on small images, with hand-written derivatives.

    python examples/train_cifar.py                      default model and settings
    python examples/train_cifar.py --data shapes --preset swin_nano_patch2_window4_32 --epochs 1      a short run
    python examples/train_cifar.py --epochs 20 --out runs/long
    python examples/train_cifar.py --resume             continue after Ctrl-C or a crash
    python examples/train_cifar.py --weights runs/long/best.safetensors --lr 1e-4 --out runs/tuned      fine-tuning
    python examples/train_cifar.py --device cuda --precision bfloat16       on an NVIDIA GPU: larger model, more epochs

It trains on CIFAR-10, or if that is neither on this machine nor can be downloaded, on the data set `shapes` that is
built into npswin. The run's folder gets its settings, a JSON line for each step, checkpoints, and three pictures.
"""

import sys

try:  # imports take a second, in which Ctrl-C should not print a traceback
    import argparse
    from pathlib import Path
    from typing import Any

    import npswin
    from npswin.cli.machine_options import set_machine
    from npswin.cli.normalization import chosen_normalization
    from npswin.cli.training_program import (
        add_run_options,
        fit,
        model_to_train,
        new_parser,
        print_run,
        run_folder,
        run_program,
        training_config,
    )
    from npswin.data import DataUnavailableError, ImageDataset, load_cifar10, load_shapes
    from npswin.devices import cupy
    from npswin.files import counted
    from npswin.training import (
        PRECISIONS,
        Trainer,
        draw_attention,
        draw_predictions,
    )

    PRESETS = [name for name, config in npswin.CONFIGS.items() if config["img_size"] == 32]
except KeyboardInterrupt:
    print("aborted", file=sys.stderr)
    sys.exit(130)

MODELS = {"cpu": "swin_mini_patch2_window4_32", "cuda": "swin_tiny_patch2_window4_32"}

# For two CPU cores: minutes on shapes, half an hour on CIFAR-10.
RECIPES: dict[str, dict[str, Any]] = {
    "shapes": {"epochs": 2, "batch_size": 32, "lr": 1e-3, "warmup_epochs": 0.2},
    "CIFAR-10": {"epochs": 5, "batch_size": 64, "lr": 1e-3, "warmup_epochs": 0.5, "crop_padding": 4, "flip": True},
}
# For a GPU: minutes, with the augmentation of the official recipe.
GPU_RECIPES: dict[str, dict[str, Any]] = {
    "CIFAR-10": {
        "epochs": 100,
        "batch_size": 256,
        "lr": 1e-3,
        "warmup_epochs": 5,
        "min_lr": 1e-5,
        "label_smoothing": 0.1,
        "ema_decay": 0.999,
        "crop_padding": 4,
        "flip": True,
        "rand_augment": 2,
        "erasing": 0.25,
        "mixup": 0.8,
        "cutmix": 1.0,
        "checkpoint_every": None,
    }
}
DEFAULTS = {"weight_decay": 0.05, "clip_norm": 1.0, "ema_decay": 0.99, "checkpoint_every": 200}


def parse_arguments() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--preset", choices=PRESETS, help=f"the model (default: {MODELS['cpu']}, on a GPU {MODELS['cuda']})")
    add(
        "--data",
        choices=["auto", "cifar10", "shapes"],
        default="auto",
        help="auto: CIFAR-10 if it is available, else shapes",
    )
    add("--data-dir", type=Path, help="folder with CIFAR-10's binary version (cifar-10-batches-bin)")
    add(
        "--epochs", type=int, help="passes over the training images (default: 5 on CIFAR-10, on a GPU 100; 2 on shapes)"
    )
    add("--batch-size", type=int, help="images per step (default: 64 on CIFAR-10, on a GPU 256; 32 on shapes)")
    add("--lr", type=float, help="highest learning rate (default: 0.001)")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="cuda for an NVIDIA GPU (default: %(default)s)")
    precision = (
        "precision of matrix products (default: %(default)s, that of --dtype); on a CPU also bfloat16, where the "
        "processor has instructions for it; the others on a GPU only"
    )
    add("--precision", choices=PRECISIONS, default="full", help=precision)
    add_run_options(parser)
    arguments = parser.parse_args()
    arguments.preset = arguments.preset or MODELS[arguments.device]
    return arguments


def load_data(arguments: argparse.Namespace) -> tuple[ImageDataset, ImageDataset]:
    """Training images and test images."""
    if arguments.data != "shapes":
        try:
            return load_cifar10(arguments.data_dir, train=True), load_cifar10(arguments.data_dir, train=False)
        except DataUnavailableError as error:
            if arguments.data == "cifar10" or arguments.data_dir is not None:
                raise
            print(f"CIFAR-10 is not available ({error}); training on the built-in data set shapes instead.", flush=True)
    print("drawing the images of shapes", flush=True)
    return load_shapes(train=True), load_shapes(train=False)


def train(arguments: argparse.Namespace) -> None:
    set_machine(arguments)
    # These raise, where something does not fit, before data are downloaded.
    training_config({**DEFAULTS, **RECIPES["shapes"]}, arguments)
    if arguments.out is not None:
        run_folder(arguments, "")
    if arguments.device == "cuda":
        cupy()  # raises if there is no GPU
    elif arguments.precision not in ("full", "bfloat16"):
        raise ValueError(f"--precision: {arguments.precision} needs a GPU: --device cuda")
    normalization = chosen_normalization(arguments)
    train_data, test_data = load_data(arguments)
    recipe = {**RECIPES, **(GPU_RECIPES if arguments.device == "cuda" else {})}[train_data.name]
    config = training_config({**DEFAULTS, **recipe}, arguments)
    out = run_folder(arguments, train_data.name)
    model = model_to_train(arguments, len(train_data.class_names)).to(arguments.device)

    print_run(arguments, model, train_data, config, out)
    trainer = Trainer(model, train_data, test_data, config, out, normalization)
    result = fit(trainer, arguments)

    draw_predictions(model, test_data, trainer.mean, trainer.std, out / "predictions.png")
    draw_attention(model, test_data, trainer.mean, trainer.std, out / "attention.png")
    print(f"weights, metrics and pictures: {out}")
    print(f"test accuracy: {100 * result.accuracy:.2f} % ({test_data.name}, {counted(result.images, 'image')})")


if __name__ == "__main__":
    sys.exit(run_program(parse_arguments, train))
