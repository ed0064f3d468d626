"""The memory allocator of a process, chosen at its start."""

import os
import sys

# Huge pages; nothing mapped for itself nor given back, but kept for the next update.
TUNABLES = {
    "hugetlb": 1,
    "arena_max": 2,  # with one, threads that read two programs at once wait for each other
    "mmap_max": 0,
    "top_pad": 2**28,
    "trim_threshold": 2**34,
}


def use_huge_pages() -> None:
    """Starts this very command anew, once, with a heap of huge pages that keeps them; where that is done it
    returns at once.

    XLA on CPU takes and returns hundreds of megabytes an update: with 4 KiB pages, mapping them costs a sixth
    of the time, and mapping huge ones anew at each update another one (experiments/throughput). glibc reads
    the setting when a process starts; a user's own GLIBC_TUNABLES are left alone. To be called before slow
    imports.
    """
    main = sys.modules["__main__"]
    program = main.__spec__.name if main.__spec__ else sys.argv[0]
    # Within a notebook, say, it is not this command that a new start would run.
    ours = bool(sys.executable) and program in sys.orig_argv
    if sys.platform == "linux" and ours and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = ":".join(f"glibc.malloc.{name}={n}" for name, n in TUNABLES.items())
        os.execv(sys.executable, sys.orig_argv)
