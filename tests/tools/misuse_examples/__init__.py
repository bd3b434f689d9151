"""A right call of each public function, and which values are right for each of its arguments.

A new function needs an entry in the table of one of the files: a function that returns its arguments by name, always
new ones, with "self" for a method; and a `Kind` for each argument whose name is not in `KINDS` of example.py. What is
returned is not compared with anything but the same call with plain values, so small arguments do.

Calls of `npswin.data` are in data.py, formats.py and samples.py; of `npswin.models` in models.py and dense_models.py;
of `npswin.training` in training.py, tasks.py and, for pictures, samples.py; of other packages in layers.py, verify.py
and others.py.
"""

from tests.tools.misuse_examples import data, layers, models, others, training, verify
from tests.tools.misuse_examples.example import KINDS, Example

__all__ = ["EXAMPLES", "KINDS", "Example"]

EXAMPLES = {
    name: example
    for area in (data, layers, models, training, verify, others)
    for name, example in area.EXAMPLES.items()
}
