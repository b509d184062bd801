"""Loads and runs one LiteRT file in a process of its own; run as a script by `litert_file`.

The interpreter verifies the layout of a file, but a file whose numbers are damaged can still abort
the process that opens it (a failed CHECK in a kernel, a read past a buffer, an endless loop). A
process that has nothing to lose finds that out. It imports nothing of this package, so that it
starts fast.
"""

import sys

REFUSED_ON_LOADING = 10
REFUSED_ON_RUNNING = 11
# Far more than an image classifier needs; a damaged size must not take the machine's memory.
_MEMORY_LIMIT = 32 << 30


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        # Windows has no such limit.
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = _MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(_MEMORY_LIMIT, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def probe(path: str) -> tuple[int, str]:
    """Opens a file and runs it on a black image.

    Returns:
        Exit status (0, `REFUSED_ON_LOADING` or `REFUSED_ON_RUNNING`) and the interpreter's message.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    refusals = (ValueError, RuntimeError, MemoryError, OverflowError, TypeError, LookupError)
    try:
        interpreter = Interpreter(model_path=path)
    except refusals as error:
        return REFUSED_ON_LOADING, str(error)
    try:
        interpreter.allocate_tensors()
        for details in interpreter.get_input_details():
            black = np.zeros(details["shape"], details["dtype"])
            interpreter.set_tensor(details["index"], black)
        interpreter.invoke()
        for details in interpreter.get_output_details():
            interpreter.get_tensor(details["index"])
    except refusals as error:
        return REFUSED_ON_RUNNING, str(error)
    return 0, ""


if __name__ == "__main__":
    _limit_memory()
    status, message = probe(sys.argv[1])
    sys.stdout.write(message)
    sys.exit(status)
