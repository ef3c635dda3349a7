"""What a disk refuses, as one clear error that says what to do."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator

KEPT = ". Blocks marked done are kept; the same call goes on from there."
REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room in the quota",
    errno.EFBIG: "raise the limit on file sizes",
    errno.EACCES: "allow this process to write there",
    errno.EPERM: "allow this process to write there",
    errno.EROFS: "mount the disk for writing",
    errno.ENOENT: "it was moved or deleted meanwhile",
}


class StoreError(OSError):
    """A store that cannot be made, written or read; the message says what to do."""


@contextlib.contextmanager
def one_error(action: str, path: str | os.PathLike, advice: str = "") -> Iterator[None]:
    """Turn what the libraries raise for a bad disk into a StoreError."""
    try:
        yield
    except (OSError, ValueError) as problem:  # tensorstore raises ValueError for all
        if isinstance(problem, StoreError):
            raise
        found = re.search(r"os_error_code='(\d+)'", str(problem))
        code = int(found[1]) if found else getattr(problem, "errno", None)
        reason = os.strerror(code).lower() if code else str(problem)
        remedy = f"; {REMEDIES[code]}" if code in REMEDIES else ""
        raise StoreError(
            f"cannot {action} {os.fspath(path)}: {reason}{remedy}{advice}"
        ) from problem
