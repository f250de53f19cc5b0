"""What can go wrong at the borders, in the user's words.

Every message says what is wrong, where, what was found and what to type. Inside the rooms a plain
``ValueError`` is right; these are for config, files and backends, and the command line prints them
without a traceback.
"""


class GSTalkerError(Exception):
    """Base of all errors that a user can act on; the command line prints it and exits with 1."""


class ConfigError(GSTalkerError):
    """A key, a value or a combination in the configuration is wrong."""


class CaptureError(GSTalkerError):
    """A capture folder is missing something, damaged, or not what the run was made from."""


class MediaError(GSTalkerError):
    """A video, sound or picture file cannot be used."""


class BackendMissing(GSTalkerError):
    """An optional part was asked for by name and is not installed; says the install line."""


class PluginFailed(GSTalkerError):
    """A class of the user's own failed, or gave what its seam does not take; says which and how."""


class RunError(GSTalkerError):
    """A run folder, checkpoint or handoff cannot be used as asked."""


class Claimed(RunError):
    """Another process works on this run."""


class Diverged(RunError):
    """Training left every sensible value; nothing after it could be right.

    Args:
        step: at which it was noticed.
        term: of the loss, that did it.
        found: what was wrong with it.
    """

    def __init__(self, step: int, term: str, found: str) -> None:
        super().__init__(
            f"training diverged at step {step}: {term} {found}.\n"
            "  Lower the learning rates (method.static.rates.* or method.deform.rates.*)."
        )
        self.step = step
        self.term = term
        self.found = found
