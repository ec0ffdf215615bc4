"""Peak memory of the process."""

import platform
import resource


def peak_resident_bytes() -> int:
    """Return the highest resident set of this process so far, in bytes."""
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
