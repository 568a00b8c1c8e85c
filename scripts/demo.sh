#!/usr/bin/env bash
# Set up and run the main job, offline, on a real photograph:
#     bash scripts/demo.sh
# Makes a virtual environment in .venv-demo (again only if it is missing) and writes to wildseg-out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

make_environment "${WILDSEG_VENV:-.venv-demo}"
say "Installing napari-wildseg (a few minutes the first time)"
"$PY" -m pip install --quiet .

say 'Segmenting sample:astronaut into "astronaut, space shuttle, flag"'
"$PY" -m napari_wildseg segment sample:astronaut \
    --labels "astronaut, space shuttle, flag" --out wildseg-out --overwrite
say "Done. Look at the overlay picture: $PWD/wildseg-out/astronaut.overlay.png"
