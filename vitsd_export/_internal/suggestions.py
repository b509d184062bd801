"""What somebody who mistyped a name may have meant."""

import difflib
from collections.abc import Iterable


def nearest(name: str, choices: Iterable[str]) -> str:
    """Returns a sentence, with a space before it, that names the most similar choice; "" if none is."""
    # Without regard to sections too: people leave them out.
    by_name: dict[str, str] = {}
    for choice in choices:
        by_name |= {choice: choice, choice.rpartition(".")[2]: choice}
    for candidate in (name, name.rpartition(".")[2]):
        found = difflib.get_close_matches(candidate, by_name, n=1)
        if found:
            return f" Did you mean {by_name[found[0]]!r}?"
    return ""
