"""The numbers that say how good a model is on a data set."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One of the numbers that the evaluation of a task gives.

    Attributes:
        name: of the attribute in the evaluation's result; behind "test_", of the entry in the records of metrics.jsonl.
        label: what curves.png calls it.
        is_share: whether it is a share, in [0, 1], which is shown in percent.
        higher_is_better: whether a higher value is a better one.
    """

    name: str
    label: str
    is_share: bool = True
    higher_is_better: bool = True

    @property
    def label_within(self) -> str:
        """The label within a sentence: "box AP at IoU 0.5"."""
        return self.label[0].lower() + self.label[1:]

    @property
    def record_name(self) -> str:
        """The name of its entry in a record."""
        return f"test_{self.name}"

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether a value is better than the best one so far; None for none so far."""
        return best is None or (value > best if self.higher_is_better else value < best)

    def shown(self, value: float) -> str:
        """A value as text: "93.75 %", or "0.513"."""
        return f"{100 * value:.2f} %" if self.is_share else f"{value:.3f}"


LOSS = Metric("loss", "Loss", is_share=False, higher_is_better=False)
ACCURACY = Metric("accuracy", "Accuracy")
