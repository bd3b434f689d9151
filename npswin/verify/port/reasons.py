"""What is known of a wrong tensor beside its distance: precision, name in the dump, an input that was not dumped."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.graph import storage_roundoff
from npswin.verify.port.dumped_inputs import DumpedInputs
from npswin.verify.port.local_error import LocalErrors
from npswin.verify.port.operation_precision import MOST_PLACES, precision_explanation
from npswin.verify.port.quantization import quantization_text
from npswin.verify.port.tensor_precision import TensorPrecisions

# Of the wrong tensors that are compared with their operation in fewer bits.
MOST_EXPLAINED, LARGEST_EXPLAINED = 20, 2**20  # tensors; numbers of one
LARGEST_OF_THIN_DUMP = 2**15  # numbers of the first wrong tensor, if several operations lead to it
MUCH_MORE_THAN_ROUNDING = 0.1  # relative error


@dataclass
class Reasons:
    """Says what is known of wrong tensors.

    Attributes:
        local_errors: each operation on the port's own inputs.
        inputs: from which dumped tensors each is computed.
        precisions: that the port's numbers show.
        precision: in which the port is judged.
        computed_coarser: the tensors in a coarser precision with whose numbers the port computed.
        dumped_as: by name under which other name a tensor is in the dump.
        left: how many more tensors are compared with their operation in fewer bits.
    """

    local_errors: LocalErrors
    inputs: DumpedInputs
    precisions: TensorPrecisions
    precision: str
    computed_coarser: Collection[str]
    dumped_as: Mapping[str, str]
    left: int = MOST_EXPLAINED

    def text(self, name: str, array: Array) -> str:
        """What is known of a wrong tensor, or ""."""
        dumped_as = self.dumped_as.get(name)
        reasons = [
            f"dumped as {dumped_as}" if dumped_as else "",
            self._computed_in(name, array),
            self.holds(name) or quantization_text(array),
            "input was not dumped, so that it may be wrong before" if "input" in self.inputs.not_dumped(name) else "",
        ]
        return "; ".join(filter(None, reasons))

    def holds(self, name: str) -> str:
        """Such as "holds float16 numbers", where the port's are finer; else ""."""
        precision = self.precisions.of(name, self.precision)
        return f"holds {precision} numbers" if storage_roundoff(precision) > storage_roundoff(self.precision) else ""

    def _computed_in(self, name: str, array: Array) -> str:
        """In which fewer bits the tensor's own operation was computed, or ""."""
        local = self.local_errors.error(name, array)
        coarser = f"computed in {self.precisions.of_tensors[name]}" if name in self.computed_coarser else ""
        if local is None or self.left == 0 or MUCH_MORE_THAN_ROUNDING < local.distance.relative < np.inf:
            return coarser
        thin = bool(self.inputs.not_dumped(name))
        if array.size > (LARGEST_OF_THIN_DUMP if thin else LARGEST_EXPLAINED) or (thin and self.left < MOST_EXPLAINED):
            return coarser
        self.left -= 1
        explained = precision_explanation(self.local_errors, name, array, MOST_PLACES if thin else 1)
        return coarser if explained is None else explained.text
