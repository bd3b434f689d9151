"""Swin as a graph: computes any tensor and any gradient from any other tensors that are given."""

from npswin.verify.graph.node import GRADIENT_PREFIX, Graph, Node, Operation
from npswin.verify.graph.precision import UNIT_ROUNDOFF, Arithmetic, is_representable_in, storage_roundoff
from npswin.verify.graph.run import Run, differing
from npswin.verify.graph.swin import swin_graph

__all__ = [
    "GRADIENT_PREFIX",
    "UNIT_ROUNDOFF",
    "Arithmetic",
    "Graph",
    "Node",
    "Operation",
    "Run",
    "differing",
    "is_representable_in",
    "storage_roundoff",
    "swin_graph",
]
