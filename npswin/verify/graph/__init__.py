"""Swin as a graph whose every tensor, and every gradient, can be computed from any others that are given."""

from npswin.verify.graph.node import GRADIENT, Graph, Node, Operation
from npswin.verify.graph.precision import UNIT_ROUNDOFF, Arithmetic, holds, unit_of_stored
from npswin.verify.graph.run import Run, differing
from npswin.verify.graph.swin import swin_graph

__all__ = [
    "GRADIENT",
    "UNIT_ROUNDOFF",
    "Arithmetic",
    "Graph",
    "Node",
    "Operation",
    "Run",
    "differing",
    "holds",
    "swin_graph",
    "unit_of_stored",
]
