"""Draw where a trained model looks: the attention of one token, and Grad-CAM for a class.

    python examples/explain_image.py --weights runs/shapes-swin_mini_patch2_window4_32/best.safetensors
    python examples/explain_image.py photo.jpg --weights best.safetensors --query 120 200 --class cat
    python examples/explain_image.py photo.jpg --weights swin_tiny.safetensors --preset swin_tiny_patch4_window7_224

The weights are those of a run of npswin's, or with --preset those of any layout that `npswin.load_weights` knows. The
image keeps its proportions; without one, an image of the built-in data set `shapes` is drawn. Each row of the picture
is a stage: one token's attention in the stage's last two blocks (regular and shifted windows), as the mean of all
heads, and Grad-CAM by the output of the last block.
"""

import sys

try:  # imports take a second, in which Ctrl-C should not print a traceback
    import argparse
    import json
    from pathlib import Path
    from typing import Any

    import numpy as np

    import npswin
    from npswin.checks import check_integer
    from npswin.data import IMAGENET_MEAN, IMAGENET_STD, make_shapes, normalize
    from npswin.files import message_of
    from npswin.training import read_normalization
    from npswin.training.environment import import_optional
    from npswin.training.pictures.style import ORANGE, check_picture_path, new_figure, save_figure, show_image
    from npswin.weights import TensorFile
except KeyboardInterrupt:
    print("aborted", file=sys.stderr)
    sys.exit(130)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("image", type=Path, nargs="?", help="a picture of any size (default: one of the data set shapes)")
    add("--weights", type=Path, required=True, metavar="FILE", help="a safetensors file")
    add("--preset", choices=sorted(npswin.CONFIGS), help="the model (default: as the weight file says)")
    add("--size", type=int, help="the image's shorter side in pixels, after resizing (default: the model's img_size)")
    add("--query", type=int, nargs=2, metavar=("Y", "X"), help="a pixel of the resized image (default: its centre)")
    add("--class", dest="class_name", metavar="CLASS", help="its name or number (default: the predicted one)")
    add("--out", type=Path, default=Path("explanation.png"), help="the picture (default: %(default)s)")
    return parser.parse_args()


def load_model(arguments: argparse.Namespace) -> tuple[npswin.SwinTransformer, list[str], Any]:
    """The model with its weights, the names of its classes, and mean and deviation of its images."""
    file, metadata = arguments.weights, TensorFile(arguments.weights).metadata
    if not arguments.preset and "config" not in metadata:
        raise ValueError(f"{file}: does not say which model it is for: --preset NAME")
    try:
        preset = None if arguments.preset else json.loads(metadata["config"])
        model = npswin.create_model(arguments.preset) if preset is None else npswin.SwinTransformer(**preset)
        class_names = [str(name) for name in json.loads(metadata.get("class_names", "[]"))]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: its metadata are not those of a model of npswin's: {error}") from error
    npswin.load_weights(model, file)
    if "mean" in metadata:
        return model, class_names, read_normalization(file)
    if model.in_chans != 3:
        raise ValueError(f"{file}: lacks the mean and deviation of its {model.in_chans} channels")
    return model, class_names, (IMAGENET_MEAN, IMAGENET_STD)


def load_pixels(path: Path | None, channels: int, side: int) -> np.ndarray[Any, Any]:
    """The image (1, c, H, W) uint8, resized so that its shorter side has so many pixels."""
    if path is None:
        return make_shapes(1, split="test").images
    image_module = import_optional("PIL.Image")
    modes = {1: "L", 3: "RGB"}
    if channels not in modes:
        raise ValueError(f"image: the model takes {channels} channels, expected 1 or 3 for a picture")
    with image_module.open(path) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"{path}: has more than 8 bits a channel (mode {image.mode}), expected 8")
        scale = side / min(image.size)
        size = [max(side, round(length * scale)) for length in image.size]
        resized = np.asarray(image.convert(modes[channels]).resize(size, image_module.Resampling.BICUBIC))
    return np.moveaxis(resized.reshape(*resized.shape[:2], channels), -1, 0)[None].copy()


def class_number(name: str | None, class_names: list[str], logits: np.ndarray[Any, Any]) -> int:
    """The class of this name or number, or the predicted one."""
    if name is None:
        return int(logits.argmax())
    if name in class_names:
        return class_names.index(name)
    number = int(name) if name.isdecimal() and len(name) < 10 else name
    return check_integer("class", number, 0, logits.shape[1] - 1)


def overlay(axes: Any, image: np.ndarray[Any, Any], values: np.ndarray[Any, Any], title: str) -> None:
    """The image with a map over it, from blue (0) to yellow (the map's maximum)."""
    show_image(axes, image)
    axes.imshow(values, cmap="cividis", alpha=0.7, vmin=0, vmax=max(float(values.max()), 1e-30))
    axes.set_title(title, fontsize=9)


def draw_stage(
    row: Any, model: npswin.SwinTransformer, stage: int, images: Any, image: Any, query: tuple[int, int], number: int
) -> None:
    """The image with the token, its attention in two blocks, and Grad-CAM."""
    side, depth = model.config["patch_size"] * 2**stage, model.config["depths"][stage]
    token = query[0] // side, query[1] // side
    show_image(row[0], image)
    rectangle = import_optional("matplotlib.patches").Rectangle
    corner = token[1] * side - 0.5, token[0] * side - 0.5
    row[0].add_patch(rectangle(corner, side, side, fill=False, edgecolor=ORANGE, linewidth=2))
    row[0].set_title(f"stage {stage + 1}: one token", fontsize=9)
    for axes, block in zip(row[1:3], (depth - 2, depth - 1), strict=True):
        name = f"layers.{stage}.blocks.{block}"
        if block < 0:
            axes.set_axis_off()
        else:
            maps = npswin.attention_maps(model, images, name, query=token, pixels=True)
            overlay(axes, image, maps[0].mean(axis=0), f"{name}\nits attention")
    overlay(row[3], image, npswin.grad_cam(model, images, number, name, pixels=True)[0], f"{name}\nGrad-CAM")


def draw(arguments: argparse.Namespace) -> None:
    check_picture_path("--out", arguments.out)
    model, class_names, (mean, std) = load_model(arguments)
    side = arguments.size or int(np.min(model.config["img_size"] or 224))
    pixels = load_pixels(arguments.image, model.in_chans, check_integer("size", side, 1, 4096))
    images = normalize(pixels, mean, std, model.dtype)
    logits = model(images)
    number = class_number(arguments.class_name, class_names, logits)
    title = class_names[number] if number < len(class_names) else f"class {number}"
    y, x = arguments.query or [length // 2 for length in pixels.shape[2:]]
    y, x = check_integer("query", y, 0, pixels.shape[2] - 1), check_integer("query", x, 0, pixels.shape[3] - 1)

    depths = model.config["depths"]
    height = 2.2 * pixels.shape[2] / pixels.shape[3] + 0.5  # of a row, in inches
    figure = new_figure(9.6, len(depths) * height + 0.5)
    for stage, row in enumerate(figure.subplots(len(depths), 4, squeeze=False)):
        draw_stage(row, model, stage, images, pixels[0], (y, x), number)
        row[3].set_title(f"{row[3].get_title()}: {title}", fontsize=9)
    figure.suptitle(f"{arguments.image or 'shapes'}: {title}, logit {logits[0, number]:.2f}", weight="bold")
    save_figure(figure, arguments.out)
    print(f"{title}: {arguments.out}")


def main() -> int:
    """Run the example; returns the exit status: 0, or 2 for an error."""
    try:
        draw(parse_arguments())
    except KeyboardInterrupt:
        print("aborted", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        print(f"explain_image.py: error: {message_of(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
