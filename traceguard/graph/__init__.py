"""The dependency graph of a store: whole or by slices of time, of services or of operations; `difference` compares."""

from traceguard.graph.build import LEVELS, build, build_slices, edges_of, nodes_of
from traceguard.graph.sketch import Sketch

__all__ = ["LEVELS", "Sketch", "build", "build_slices", "edges_of", "nodes_of"]
