"""Messages of other libraries inside our own."""


def first_line(error: BaseException | str, limit: int = 240) -> str:
    """Returns the first line of an error's message as a sentence, for use inside another message.

    Args:
        error: What the runtime raised, or its message.
        limit: Length, in characters, at which the line is cut.
    """
    lines = str(error).strip().splitlines()
    line = lines[0].strip() if lines else type(error).__name__
    if len(line) > limit:
        line = line[:limit].rstrip() + "…"
    return line if line[-1] in ".!?…" else line + "."
