"""Weight files, and the key layouts of other projects."""

from npswin.weights.files import WeightFileError, save_tensors
from npswin.weights.layouts import detect_layout, to_official
from npswin.weights.load import load_weights, model_tensors
from npswin.weights.report import LoadReport, WeightMismatchError
from npswin.weights.tensor_file import TensorFile, load_tensors

__all__ = [
    "LoadReport",
    "TensorFile",
    "WeightFileError",
    "WeightMismatchError",
    "detect_layout",
    "load_tensors",
    "load_weights",
    "model_tensors",
    "save_tensors",
    "to_official",
]
