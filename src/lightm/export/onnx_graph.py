"""An ONNX graph that grows node by node. Its values have names; a layer is a function from names to names.

Operators: onnx.ai/onnx/operators, version 21; one of onnxruntime's own, `LinearAttention`.
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from lightm.export.describe import rounded

OPSETS = {"": 21, "com.microsoft": 1}  # domain -> version of its operators
IR_VERSION = 10  # the file format that came with operators of version 21


class Graph:
    """The nodes and constants so far. A call adds a node and returns the name of its output, or a list of names:

        total = graph("Add", x, y)
        first, second = graph("Split", x, sizes, outputs=2, axis=-1)
        graph("Relu", total, into="y")  # an output with a name of its own

    precision: "float16" or "float32", how the weights are stored; the network computes in float32 all the same.
    """

    def __init__(self, model: nn.Module, precision: str):
        self.dims: int = model.spatial_dims
        self._precision = precision
        self._places = {module: name for name, module in model.named_modules()}
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: dict[str, onnx.TensorProto] = {}
        self._constants: dict[tuple, str] = {}
        self._numbers = count()

    def __call__(self, op: str, *inputs: str, outputs: int = 1, into: str = "", **attributes: Any) -> Any:
        names = [into] if into else [self._name(op) for _ in range(outputs)]
        self._nodes.append(helper.make_node(op, inputs, names, name=names[0], **attributes))
        return names[0] if outputs == 1 else names

    def place(self, module: nn.Module) -> str:
        """Where a module stands in the network, as its state_dict calls it."""
        return self._places[module]

    def constant(self, *values: int) -> str:
        """A list of whole numbers; equal lists are stored once."""
        if values not in self._constants:
            name = self._constants[values] = f"whole_{'_'.join(map(str, values))}"
            self._tensors[name] = numpy_helper.from_array(np.array(values, np.int64), name)
        return self._constants[values]

    def weight(self, module: nn.Module, name: str) -> str:
        """A parameter of a module, stored under its name in the state_dict."""
        key = f"{self.place(module)}.{name}"
        if key not in self._tensors:
            values = rounded(key, getattr(module, name), self._precision)
            self._tensors[key] = numpy_helper.from_array(np.ascontiguousarray(values), key)
        return key if self._precision == "float32" else self("Cast", key, to=TensorProto.FLOAT)

    def scan(self, step: Callable[..., tuple[str, str]], state: str, sequences: Sequence[str]) -> str:
        """A loop over axis 1 of the sequences: step(state, an element of each) -> (state, output); the outputs stacked.

        What `step` adds to the graph becomes the body of ONNX's operator Scan.
        """
        outside, self._nodes = self._nodes, []
        inputs = [self._name("step") for _ in (state, *sequences)]
        outputs = step(*inputs)
        info = [
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names] for names in (inputs, outputs)
        ]
        body = helper.make_graph(self._nodes, self._name("body"), *info)
        self._nodes = outside
        _, stacked = self(
            "Scan",
            state,
            *sequences,
            outputs=2,
            body=body,
            num_scan_inputs=len(sequences),
            scan_input_axes=[1] * len(sequences),
            scan_output_axes=[1],
        )
        return stacked

    def model(self, inputs: dict[str, Sequence], outputs: dict[str, Sequence], title: str) -> onnx.ModelProto:
        """The whole, checked. inputs, outputs: name of a float32 value -> its sizes, a word for one that is open."""
        info = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in values.items()]
            for values in (inputs, outputs)
        ]
        graph = helper.make_graph(self._nodes, title, *info, initializer=list(self._tensors.values()))
        opsets = [helper.make_opsetid(*pair) for pair in OPSETS.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _name(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"
