"""How the time grows: with the image's side, with the window's side, with the threads.

    python benchmarks/growth.py                      prints three tables, draws docs/images/growth.png
    python benchmarks/growth.py --out /tmp/a.png

Section 3.2 of the paper: W-MSA takes 4hwC² + 2M²hwC multiply-adds on a map of h×w tokens of C channels with windows of
side M (equation 2). With M fixed that is linear in the number of pixels; global attention (equation 1), which is one
window over the whole map, is quadratic. Needs pip install 'npswin[train]'.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import npswin
from npswin.backends import set_thread_count
from npswin.layers import WindowAttention
from npswin.training.environment import import_optional

SIDES = (64, 96, 128, 192, 256, 384, 512)
MAP_SIDE, WINDOW_SIDES = 48, (2, 3, 4, 6, 8, 12, 16, 24, 48)
REPEATS = 9


def median_seconds(calls: list[Callable[[], object]]) -> list[float]:
    """The median time of each call; the calls take turns."""
    for call in calls:
        call()
    rounds = []
    for _ in range(REPEATS):
        times = []
        for call in calls:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        rounds.append(times)
    return np.median(rounds, axis=0).tolist()


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """p of the power law y ~ xᵖ that fits best."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def image_sides() -> tuple[list[float], list[float]]:
    """Milliseconds of Swin-T for one image of each side: windows of 7×7, and one window over each map of stage 1."""
    rng = np.random.default_rng(0)
    model = npswin.create_model("swin_tiny_patch4_window7_224")
    images = [rng.standard_normal((1, 3, side, side)).astype("f") for side in SIDES]
    windows = median_seconds([lambda image=image: model(image) for image in images])
    maps = [rng.standard_normal((1, side // 4, side // 4, 96)).astype("f") for side in SIDES]
    layers = [WindowAttention(96, 3, side // 4, rng, position_bias="none") for side in SIDES]
    whole = median_seconds([lambda layer=layer, x=x: layer(x) for layer, x in zip(layers, maps, strict=True)])
    return [1e3 * seconds for seconds in windows], [1e3 * seconds for seconds in whole]


def window_sides() -> tuple[list[float], list[float]]:
    """Milliseconds of one attention layer (C = 96) for each window side, and what equation 2 lets expect."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, MAP_SIDE, MAP_SIDE, 96)).astype("f")
    layers = [WindowAttention(96, 3, side, rng) for side in WINDOW_SIDES]
    measured = median_seconds([lambda layer=layer: layer(x) for layer in layers])
    operations = np.array([4 * 96**2 + 2 * side**2 * 96 for side in WINDOW_SIDES], float)
    rate = np.median(operations / measured)
    return [1e3 * seconds for seconds in measured], (1e3 * operations / rate).tolist()


def threads(most: int) -> list[float]:
    """Images a second of Swin-T, batch 8, with 1 thread to `most`."""
    model = npswin.create_model("swin_tiny_patch4_window7_224")
    images = np.random.default_rng(0).standard_normal((8, 3, 224, 224)).astype("f")

    def run(count: int) -> None:
        set_thread_count(count)
        model(images)

    return [8 / seconds for seconds in median_seconds([lambda n=n: run(n) for n in range(1, most + 1)])]


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/growth.png"), help="(default: %(default)s)")
    most = npswin.backends.thread_count()
    parser.add_argument("--threads", type=int, default=most, help="most threads (default: %(default)s)")
    arguments = parser.parse_args()
    pyplot = import_optional("matplotlib.pyplot")

    pixels = np.array(SIDES, float) ** 2
    tiny, whole = image_sides()
    print("| image side | Swin-T, ms | ms a megapixel | one layer, one window over the map, ms |")
    print("| ---: | ---: | ---: | ---: |")
    for side, ms, whole_ms in zip(SIDES, tiny, whole, strict=True):
        print(f"| {side} | {ms:.1f} | {1e6 * ms / side**2:.0f} | {whole_ms:.2f} |")
    large = slice(2, None)
    grown, whole_grown = slope(pixels[large], np.array(tiny)[large]), slope(pixels[large], np.array(whole)[large])
    print(f"\nfrom side {SIDES[2]} on: time ~ pixels^{grown:.2f} with windows, pixels^{whole_grown:.2f} without\n")

    measured, expected = window_sides()
    print("| window side | ms | equation 2, scaled |\n| ---: | ---: | ---: |")
    for side, ms, model_ms in zip(WINDOW_SIDES, measured, expected, strict=True):
        print(f"| {side} | {ms:.2f} | {model_ms:.2f} |")

    rates = threads(arguments.threads)
    print("\n| threads | images/s | times one thread |\n| ---: | ---: | ---: |")
    for count, rate in enumerate(rates, 1):
        print(f"| {count} | {rate:.1f} | {rate / rates[0]:.2f} |")

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    left.loglog(pixels, tiny, "o-", label=f"Swin-T, windows of 7×7: pixels^{grown:.2f}")
    left.loglog(pixels, whole, "s--", label=f"one layer, one window over the map: pixels^{whole_grown:.2f}")
    left.set(xlabel="pixels", ylabel="ms an image", title="image side, 64 to 512")
    middle.loglog(WINDOW_SIDES, measured, "o-", label="measured")
    middle.loglog(WINDOW_SIDES, expected, "--", label="4C² + 2M²C, scaled")
    middle.set(xlabel="window side M", ylabel="ms", title="window side: attention on 8 maps of 48×48×96")
    middle.set_xticks(WINDOW_SIDES, labels=map(str, WINDOW_SIDES))
    middle.minorticks_off()
    right.plot(range(1, len(rates) + 1), rates, "o-", label="Swin-T, batch 8")
    right.plot(range(1, len(rates) + 1), [n * rates[0] for n in range(1, len(rates) + 1)], "--", label="in proportion")
    right.set(xlabel="threads", ylabel="images/s", title="threads", ylim=(0, None), xticks=range(1, len(rates) + 1))
    for axes in (left, middle, right):
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.savefig(arguments.out, dpi=110)
    print(f"\n{arguments.out}")


if __name__ == "__main__":
    main()
