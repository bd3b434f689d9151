"""The targets of a port's loss, read off the gradient of the logits.

The derivative of a cross-entropy with a softmax by the logits is (p - T) / B, with the targets T (B, K). So a port's
derivative has the targets p - B dlogits; with sigmoids in place of the softmax likewise. What they are is told as a
mixture of the labels' targets t and others that are made of them, as ones at other places, or row by row.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from npswin.ops.softmax import softmax_forward
from npswin.types import Array
from npswin.verify.fits.combination import find_combination
from npswin.verify.fits.functions import sigmoid
from npswin.verify.fits.numbers import chosen
from npswin.verify.mistakes.loss import Loss, targets_of, with_loss
from npswin.verify.mistakes.mistake import with_backward_of
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_losses import derivative_by_logits
from npswin.verify.port.gradient_symptoms import GradientSymptoms

ROUNDING = 2e-6  # of a probability in float32
COARSE = 1e-3  # rounding errors of targets, at most, if anything is read off them
LARGEST_BATCH = 16  # whose targets are listed by image
MOST_PER_IMAGE = 2  # classes with a share of their own, where targets are listed

EQUAL = "1/K for each class"
Targets = Callable[[Array, Array], Array]  # t (B, K) and the probabilities -> the targets


OTHERS: Mapping[str, Targets] = {
    "t": lambda t, _: t,
    "t of the next image": lambda t, _: np.roll(t, -1, axis=0),
    "t of the previous image": lambda t, _: np.roll(t, 1, axis=0),
    "t of the batch in reverse order": lambda t, _: t[::-1],
    "t of the image half a batch away": lambda t, _: np.roll(t, len(t) // 2, axis=0),
    "t of the first image": lambda t, _: np.broadcast_to(t[:1], t.shape),
    "t of the last image": lambda t, _: np.broadcast_to(t[-1:], t.shape),
    "the mean of t over the batch": lambda t, _: np.broadcast_to(t.mean(axis=0), t.shape),
    EQUAL: lambda t, _: np.full_like(t, 1 / t.shape[1]),
    "t of the next class": lambda t, _: np.roll(t, 1, axis=1),
    "t of the previous class": lambda t, _: np.roll(t, -1, axis=1),
    "t of the classes in reverse order": lambda t, _: t[:, ::-1],
    "1 for the predicted class": lambda _, p: np.eye(p.shape[1])[p.argmax(axis=1)],
    "1 for class 0": lambda t, _: np.eye(t.shape[1])[np.zeros(len(t), int)],
    "t of the first image, 0 for the others": lambda t, _: t * (np.arange(len(t)) == 0)[:, None],
    "t of the last image, 0 for the others": lambda t, _: t * (np.arange(len(t)) == len(t) - 1)[:, None],
    "t of all images but the first": lambda t, _: t * (np.arange(len(t)) > 0)[:, None],
    "t of all images but the last": lambda t, _: t * (np.arange(len(t)) < len(t) - 1)[:, None],
}


def _flat_places(t: Array) -> Iterator[tuple[str, Targets]]:
    """Ones at flat indices with another stride or start than image · K + label; none at those outside of the batch."""
    batch, classes = t.shape
    padded = {f"{-(-classes // tile) * tile}": -(-classes // tile) * tile for tile in (4, 8, 16, 32, 64, 128)}
    strides = {
        "0": 0,
        "1": 1,
        "B": batch,
        "K": classes,
        **{f"(K {'+' if n > 0 else '-'} {abs(n)})": classes + n for n in (-2, -1, 1, 2)},
        **padded,
    }
    for words, stride in strides.items():
        for label_words, factor in {"label": 1, "label · B": batch, "": 0}.items():
            for start in (0, 1, -1):
                parts = [f"image · {words}" * bool(stride), label_words, f"{start}" * bool(start)]
                text = " + ".join(filter(None, parts)).replace("image · 1", "image").replace("+ -", "- ")
                yield f"1 at the flat index {text or '0'}, in place of image · K + label", _at(stride, factor, start)


def _at(stride: int, factor: int, start: int) -> Targets:
    def targets(t: Array, _: Array) -> Array:
        flat = stride * np.arange(len(t)) + factor * t.argmax(axis=1) + start
        made = np.zeros(t.size, t.dtype)
        np.add.at(made, flat[(flat >= 0) & (flat < t.size)], 1)
        return made.reshape(t.shape)

    return targets


def target_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """Other targets of the loss, with a softmax over the classes or sigmoids."""
    dlogits = derivative_by_logits(wrong)
    if dlogits is None or not wrong.follows_from_loss():
        return
    logits, labels = (np.asarray(wrong.run.value(read), np.float64) for read in wrong.loss.inputs)
    t, p = targets_of(logits, labels), softmax_forward(logits)[0]
    batch, classes = logits.shape
    start = float(wrong.run.gradient(wrong.loss.name))
    tolerance = ROUNDING + 2 * batch * wrong.wrong[wrong.first].rounding
    if not start or tolerance > COARSE:
        return
    dlogits = dlogits / start
    if np.abs(dlogits.sum(axis=1)).max() * batch <= classes * tolerance:  # the softmax keeps the sum
        bases = [("", p, float(batch))]
    else:
        sizes = {float(batch): "", float(batch * classes): ", a mean over the classes", 1.0: ", summed over the batch"}
        bases = [("", p, float(batch))]
        bases += [(f"of sigmoids{words}", sigmoid(logits), size) for size, words in sizes.items()]
    for words, probabilities, size in bases:
        found = probabilities - size * dlogits
        loss = _loss(size, bool(words))
        for description, detail, targets, fitted in _described(found, t, p, tolerance * max(1.0, size / batch)):
            changes = with_loss(wrong.loss, loss(targets))
            if wrong.loss_is_right:
                changes = {wrong.loss.name: with_backward_of(wrong.loss, changes[wrong.loss.name])}
            text = f"{description}{f'; the loss is the binary cross-entropy {words}' if words else ''}"
            fix = "the targets are 1 for the label of each image, at image · K + label, and 0 elsewhere"
            one = Hypothesis("other-targets", text, fix, detail, wrong.loss.name, changes, wrong.loss_is_right)
            one.fitted, one.fitted_numbers = fitted > 0, fitted
            yield one
            return


def _loss(size: float, of_sigmoids: bool) -> Callable[[Targets], Loss]:
    """The sum of all entries' cross-entropies to targets, over a number; its derivative is (p - T) / size."""

    def with_targets(targets: Targets) -> Loss:
        def loss(logits: Array, labels: Array) -> tuple[float, Array]:
            p = softmax_forward(logits)[0]
            made = targets(targets_of(logits, labels), p)
            if of_sigmoids:
                return float((np.logaddexp(0, logits) - made * logits).sum() / size), (sigmoid(logits) - made) / size
            return float(-(made * np.log(p)).sum() / size), (p - made) / size

        return loss

    return with_targets


def _described(found: Array, t: Array, p: Array, tolerance: float) -> Iterator[tuple[str, str, Targets, int]]:
    """What targets are: in words, how they are made, and how many numbers are fitted."""
    if np.abs(found - np.eye(t.shape[1])[found.argmax(axis=1)]).max() <= tolerance:
        return  # other labels, which are told as such
    terms = {name: np.asarray(make(t, p), np.float64) for name, make in OTHERS.items()}
    for name, array in terms.items():
        if np.abs(array - found).max() <= tolerance:
            yield f"the targets are not those of the labels: {name}", "", OTHERS[name], 0
            return
    whole = np.rint(found)
    if np.abs(found - whole).max() <= tolerance and np.abs(whole).sum() <= 2 * len(t) <= 2 * LARGEST_BATCH:
        yield from _ones(whole, t)
        return
    classes = t.shape[1]
    best = find_combination(found, terms, {"t": 1.0}, [1 / classes, classes / (classes - 1)], tolerance)
    if best is not None and best.changed:
        factors = {name: chosen(factor) for name, factor in best.factors.items()}
        are_shares = min(factors.values()) > 0 and abs(sum(factors.values()) - 1) <= COARSE
        others = [name for name in factors if name not in ("t", EQUAL)]
        if are_shares and len(others) < 2:
            words = " + ".join(
                f"{factor:.5g} {name if name == 't' else f'({name})'}" for name, factor in factors.items()
            )
            fitted = max(0, best.fitted - 1)  # one follows from the others
            yield f"the targets are mixed: {words}, with t 1 for the label", "", _mixed(factors), fitted
            return
    if len(t) <= LARGEST_BATCH:
        yield from _shares(found, tolerance)


def _mixed(factors: Mapping[str, float]) -> Targets:
    def targets(t: Array, p: Array) -> Array:
        return np.asarray(sum(factor * OTHERS[name](t, p) for name, factor in factors.items()))

    return targets


def _ones(whole: Array, t: Array) -> Iterator[tuple[str, str, Targets, int]]:
    """Whole numbers at other places than those of the labels."""
    for words, targets in _flat_places(t):
        if np.array_equal(targets(t, t), whole):
            yield f"the targets are {words}", "", targets, 0
            return
    places = ", ".join(
        f"image {image}, class {label}{f' ({number:g} times)' if number != 1 else ''}"
        for image, label, number in zip(*np.nonzero(whole), whole[whole != 0], strict=True)
    )
    wanted = ", ".join(f"image {image}, class {label}" for image, label in enumerate(t.argmax(axis=1)))
    yield f"the targets are 1 at {places or 'no place'}", f"rather than at {wanted}", lambda *_: whole, 0


def _shares(found: Array, tolerance: float) -> Iterator[tuple[str, str, Targets, int]]:
    """A few classes in each row, whose shares sum up to 1."""
    shares = np.where(np.abs(found) <= tolerance, 0.0, found)
    used = (shares != 0).sum(axis=1)
    if (shares < 0).any() or np.abs(shares.sum(axis=1) - 1).max() > 2 * tolerance or used.max() > MOST_PER_IMAGE:
        return
    made = np.vectorize(chosen)(shares)
    rows = (
        " and ".join(f"{made[image, label]:.4g} of class {label}" for label in np.flatnonzero(made[image]))
        for image in range(len(made))
    )
    listed = ", ".join(f"{row} for image {image}" for image, row in enumerate(rows))
    yield f"the targets are mixtures of classes: {listed}", "", lambda *_: made, int((used - 1).sum())
