"""Nodes and constants of an ONNX graph, each given a name as it comes."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper


class Nodes:
    """Nodes and constants, in order.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
    constants : list of onnx.TensorProto
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, numbers: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Keep numbers, and name them."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(numbers, dtype, order="C"), name))
        return name

    def integers(self, *numbers: int) -> str:
        """Keep whole numbers: shapes, axes, places."""
        return self.constant(numbers, np.int64)

    def node(self, kind: str, *ends: str, name: str = "", **attributes: Any) -> str:
        """Add an operation, and name what it gives."""
        name = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, ends, [name], **attributes))
        return name
