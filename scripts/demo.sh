#!/usr/bin/env bash
# Set up and run the main job, offline, on a real photograph:
#     bash scripts/demo.sh
# Makes a virtual environment in .venv, which scripts/test.sh and scripts/setup.sh use too, and writes
# to wildseg-out. The first time, packages are downloaded; pip shows them and their size.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

environment="${WILDSEG_VENV:-.venv}"
make_environment "$environment"
install_package "$environment" ""

say 'Segmenting sample:astronaut into "astronaut, space shuttle, flag"'
"$PY" -m napari_wildseg segment sample:astronaut \
    --labels "astronaut, space shuttle, flag" --out wildseg-out --overwrite
say "Done. Look at the overlay picture: $PWD/wildseg-out/astronaut.overlay.png"
