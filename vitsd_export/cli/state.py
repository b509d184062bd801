"""What the options before and after a command's name set for the whole process."""


class State:
    """What the options before and after a command's name set for the whole process."""

    debug = False
    json = False


def set_debug(value: bool) -> bool:
    State.debug = State.debug or value
    return value


def set_json(value: bool) -> bool:
    State.json = State.json or value
    return value
