"""What is inside a TFLite file."""

from pathlib import Path
from typing import Any

import numpy as np

_FLOATS = (np.float16, np.float32, np.float64)


def operators(path: Path) -> list[str]:
    """Return the operators of a TFLite file, each once, sorted; custom ones by their own name."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    found = set()
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
            custom = code.customCode
            found.add(f"CUSTOM:{custom.decode()}" if custom else names[builtin])
    return sorted(found)


def float_tensors(path: Path) -> list[str]:
    """Return the names of the float tensors of a TFLite file: none where it is fully quantised."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    return [t["name"] for t in interpreter.get_tensor_details() if t["dtype"] in _FLOATS]


def ends(path: Path) -> dict[str, dict[str, Any]]:
    """Return what a TFLite file takes and gives: "input" and "output", each with shape and dtype.

    Of eight bits, `scale` and `zero_point` too: value = (byte - zero_point) * scale.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = {}
    for name, details in (("input", source), ("output", target)):
        found[name] = {"shape": details["shape"].tolist(), "dtype": np.dtype(details["dtype"]).name}
        scale, zero_point = details["quantization"]
        if scale:
            found[name] |= {"scale": float(scale), "zero_point": int(zero_point)}
    return found
