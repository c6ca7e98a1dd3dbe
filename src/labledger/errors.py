"""The root of every error that labledger raises on purpose.

A message says what was found, where, and what to do; it may run over several lines. The command line
prints it as it stands and ends with `exit_code`.
"""

import errno

UNMAPPED_LIBRARY = ("failed to map segment", "cannot map zero-fill pages", "annot allocate memory")
"""Words of the dynamic loader's errors for a library that there is no memory for."""


class LabledgerError(Exception):
    """Something a user can act on went wrong."""

    exit_code = 1


class ConfigError(LabledgerError):
    """A file or a flag that the user wrote cannot be used as it stands."""

    exit_code = 2


class UnreadableFileError(LabledgerError):
    """A file that should hold a record is not JSON, is cut short, or has a value of a wrong type."""


def problems_in(error: LabledgerError) -> list[str]:
    """Return the problems that an error tells, each with the lines below it that belong to it, which are indented."""
    found: list[str] = []
    for line in str(error).splitlines():
        if line.startswith("  ") and found:
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Return True where memory was out, as Python, the system, the loader of libraries, or Rust's glue shows it."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, ImportError):
        return any(sign in str(error) for sign in UNMAPPED_LIBRARY)
    return isinstance(error, MemoryError) or (is_panic(error) and "pointer is null" in str(error))


def is_panic(error: BaseException) -> bool:
    """Return True for a panic of a library in Rust, which is no Exception."""
    return type(error).__name__ == "PanicException"
