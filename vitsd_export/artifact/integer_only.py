"""Whether a .tflite file computes in integers alone."""


def float_tensors(content: bytes) -> tuple[str, ...]:
    """Finds what keeps a .tflite file off processors without floating point.

    Returns:
        The operators that read or answer floats, as `OPERATOR of TENSOR`, in order of execution; the
        graph's own inputs and outputs count as well. Empty for a file of integers alone.
    """
    from ai_edge_litert import schema_py_generated as schema

    operators = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    floats = {
        code
        for name, code in vars(schema.TensorType).items()
        if "FLOAT" in name or "COMPLEX" in name
    }
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            used = [*operator.inputs, *operator.outputs]
            # -1 stands for an input that is left out.
            if any(graph.tensors[index].type in floats for index in used if index >= 0):
                tensor = graph.tensors[operator.outputs[0]].name.decode(errors="replace")
                found.append(f"{operators.get(number, number)} of {tensor}")
        ports = [*graph.inputs, *graph.outputs]
        found += [
            graph.tensors[index].name.decode(errors="replace")
            for index in ports
            if graph.tensors[index].type in floats
        ]
    return tuple(found)
