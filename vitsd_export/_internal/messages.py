"""Messages of other libraries inside our own."""


def first_line(error: BaseException | str, limit: int = 240) -> str:
    """Returns the first line of an error's message, cut at `limit` characters, as a sentence."""
    lines = str(error).strip().splitlines()
    line = lines[0].strip() if lines else type(error).__name__
    if len(line) > limit:
        line = line[:limit].rstrip() + "…"
    return line if line[-1] in ".!?…" else line + "."
