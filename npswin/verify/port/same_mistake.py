"""Whether two explanations are one mistake that is made at two places."""

import re
from dataclasses import replace

from npswin.verify.port.cause import Cause, Hypothesis

BLOCK = re.compile(r"\blayers\.(\d+)\.blocks\.(\d+)\b")
STAGE = re.compile(r"\blayers\.\d+\b")
NUMBER = re.compile(r"(?<![\w.])-?\d+(\.\d+)?(e[+-]?\d+)?")  # not one in a name, such as layers.0


def add_cause(causes: list[Cause], cause: Cause) -> None:
    """Add a cause to a list, or its places to the cause that is the same mistake."""
    for known in causes:
        one, other = known.hypothesis, cause.hypothesis
        if alike := _alike(known, cause):
            known.hypothesis, *alternatives = alike
            known.others = alternatives + [one for one in known.others if not one.explains_symptom]
            known.add_places(cause)
            return
        if one.name != other.name:
            continue
        varies = one.varies and other.varies and one.description == other.description
        if not varies and relative_text(one) != relative_text(other):
            if not one.fitted or without_numbers(one) != without_numbers(other):
                continue
            known.with_other_numbers.append(other)
        known.add_places(cause)
        return
    causes.append(cause)


def _alike(known: Cause, cause: Cause) -> list[Hypothesis]:
    """The explanations of a cause that say the same as one of another cause: its own, or alternatives to it.

    What two explanations tell alike at one place, as of two heads, another place with more of them tells apart. Where
    they are the own ones of neither, they have to be of the same kind.
    """
    said = {(one.name, relative_text(one)) for one in _equally_good(cause)}
    alike = [one for one in _equally_good(known) if (one.name, relative_text(one)) in said]
    own = [(one.hypothesis.name, relative_text(one.hypothesis)) for one in (known, cause)]
    if not alike or (
        (alike[0].name, relative_text(alike[0])) not in own and {alike[0].name} != {name for name, _ in own}
    ):
        return []
    by_changes: dict[int, list[Hypothesis]] = {}
    for one in alike:
        by_changes.setdefault(id(one.changes), []).append(one)
    return [replace(first, also=tuple(one.description for one in rest)) for first, *rest in by_changes.values()]


def _equally_good(cause: Cause) -> list[Hypothesis]:
    """The explanations of a cause: its own, and those that leave as few symptoms."""
    own = cause.hypothesis
    others = (one for one in cause.others if one.explains_symptom and one.symptoms_left == own.symptoms_left)
    good = [own, *(one for one in others if one.fitted_numbers <= own.fitted_numbers)]
    return [in_words for one in good for in_words in _in_all_words(one)]


def _in_all_words(one: Hypothesis) -> list[Hypothesis]:
    """A hypothesis with each of the descriptions that fit it, and the others as its further ones."""
    texts = (one.description, *one.also)
    return [replace(one, description=text, also=tuple(other for other in texts if other != text)) for text in texts]


def relative_text(hypothesis: Hypothesis) -> str:
    """What a hypothesis says, with its own place as "here", and other blocks of its stage by their distance."""
    text = re.sub(rf"(?<![\w.]){re.escape(hypothesis.place)}(?![\w])", "here", str(hypothesis))
    own = BLOCK.search(hypothesis.place)
    if own is None:
        stage = STAGE.search(hypothesis.place)
        return text if stage is None else re.sub(rf"\b{re.escape(stage.group())}\b", "this stage", text)

    def relative(found: re.Match[str]) -> str:
        distance = int(found.group(2)) - int(own.group(2))
        same_stage = found.group(1) == own.group(1)
        return f"block_{'after' if distance > 0 else 'before'}{abs(distance)}" if same_stage else found.group()

    return BLOCK.sub(relative, text)


def without_numbers(hypothesis: Hypothesis) -> str:
    """What a hypothesis says, for any numbers: for lists of numbers of any length too."""
    return re.sub(r"#(, #)+", "#", NUMBER.sub("#", relative_text(hypothesis)))
