"""Freed memory stays with the process, also where Dask asked the C library to give it back."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from napari_wildseg.batch.workers import allocator
from napari_wildseg.batch.workers.allocator import keep_freed_memory

FAULTS = """
import resource, runpy, sys
import numpy as np
keep_freed_memory = runpy.run_path(sys.argv[1])["keep_freed_memory"]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(2**20, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

mapped_anew = faults()
assert keep_freed_memory()
faults()
print(mapped_anew, faults())
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="not glibc")
def test_arrays_are_not_mapped_anew_in_a_process_that_dask_started():
    """Each array has 1024 pages; mapped anew, every one of them is a fault."""
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536", "NUMPY_MADVISE_HUGEPAGE": "0"}
    found = subprocess.run(
        [sys.executable, "-c", FAULTS, allocator.__file__],  # the package would import PyTorch
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(int, found.stdout.split())
    assert after < 1024 < before
