#!/usr/bin/env bash
# Set up and run the tests, windows on a virtual screen included:
#     bash scripts/test.sh [pytest arguments]
# Makes a virtual environment in .venv, which scripts/demo.sh and scripts/setup.sh use too, and
# installs into it again when pyproject.toml changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

environment="${WILDSEG_VENV:-.venv}"
make_environment "$environment"
install_window_libraries
install_package "$environment" all,test

# Two test processes with one thread each are quicker here than one with two.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
workers="$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)"  # nproc would heed OMP_NUM_THREADS
say "Running the tests, on virtual screens where Xvfb is installed"
exec "$PY" -m pytest -n "$((workers < 4 ? workers : 4))" --dist worksteal "$@"
