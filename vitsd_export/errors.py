"""Errors that a user can act on, each with the exit code of the command line."""


class VitsdExportError(Exception):
    """Base of all errors this package raises on purpose.

    The message is one paragraph: what went wrong, where, and what to do.

    Attributes:
        exit_code: Process exit code the command line ends with.
    """

    exit_code = 1


class UsageError(VitsdExportError):
    """Options that contradict each other or name something that does not exist."""

    exit_code = 2


class InputError(VitsdExportError):
    """An input that cannot be used: missing, corrupt, of the wrong shape, or unsafe."""

    exit_code = 3


class VerificationError(VitsdExportError):
    """An artifact that does not answer as its reference model does."""

    exit_code = 4


class EnvironmentProblem(VitsdExportError):
    """Something outside the input is missing: a package, disk space, write permission."""

    exit_code = 5
