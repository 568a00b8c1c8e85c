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

say 'Segmenting sample:coffee into "cup of coffee, spoon, table"'
"$PY" -m napari_wildseg segment sample:coffee \
    --labels "cup of coffee, spoon, table" --out wildseg-out --overwrite
say "Done. Look at the overlay picture: $PWD/wildseg-out/coffee.overlay.png"
