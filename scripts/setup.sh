#!/usr/bin/env bash
# Set up for development:
#     bash scripts/setup.sh
# Makes a virtual environment in .venv, which scripts/demo.sh and scripts/test.sh use too, and installs
# the git hooks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

environment="${WILDSEG_VENV:-.venv}"
make_environment "$environment"
install_window_libraries
install_package "$environment" all,dev
touch "$environment/installedall,test"  # dev has all that the tests need
if [ -d .git ] || [ -f .git ]; then
    "$PY" -m pre_commit install
fi
say "Done. Next:  . $environment/bin/activate && pytest tests/engine -q"
