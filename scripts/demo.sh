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

say 'Segmenting sample:camera into "man, camera, tripod, grass, sky"'
"$PY" -m napari_wildseg segment sample:camera \
    --labels "man, camera, tripod, grass, sky" --out wildseg-out --overwrite
say "Done. Look at the overlay picture: $PWD/wildseg-out/camera.overlay.png"
