#!/usr/bin/env bash
# Set up for development:
#     bash scripts/setup.sh
# Makes a virtual environment in .venv (again only if it is missing) and installs the git hooks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

make_environment "${WILDSEG_VENV:-.venv}"
install_window_libraries
say "Installing napari-wildseg and the development tools (a few minutes the first time)"
"$PY" -m pip install --quiet --editable ".[all,dev]"
if [ -d .git ] || [ -f .git ]; then
    "$PY" -m pre_commit install
fi
say "Done. Next:  . ${WILDSEG_VENV:-.venv}/bin/activate && pytest tests/engine -q"
