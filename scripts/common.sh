# Shared by the scripts of this folder; sourced, not run.

say() { printf '\n== %s\n' "$*"; }

# again COMMAND...: for what needs a network, or a lock that another program may hold for a while.
again() {
    local pause
    for pause in 10 30 60; do
        "$@" && return
        say "Failed, once more in $pause seconds: $*" >&2
        sleep "$pause"
    done
    "$@"
}

# Install Debian packages if some are missing and we may; say what is missing otherwise.
apt_install() {
    command -v dpkg-query >/dev/null || return 0
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            root=(sudo -n)
        else
            say "Missing system packages; install them with:  sudo apt-get install ${missing[*]}"
            return 0
        fi
    fi
    say "Installing system packages: ${missing[*]}"
    local options=(-qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=5)
    again "${root[@]}" apt-get update "${options[@]}"
    # Names differ between releases (libgl1 and the like are stable; t64 packages provide the old).
    again "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${options[@]}" "${missing[@]}" >/dev/null
}

install_window_libraries() {
    apt_install xvfb xauth libegl1 libgl1 libgl1-mesa-dri libxkbcommon-x11-0 libxcb-cursor0 \
        libxcb-icccm4 libxcb-keysyms1 libxcb-image0 libxcb-render-util0 libxcb-xinerama0 \
        libxcb-shape0 libxcb-randr0 libdbus-1-3 libfontconfig1 libglib2.0-0
}

# Find a Python of version 3.11 or later.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# make_environment DIR: a virtual environment, kept if it is there; sets PY to its Python.
make_environment() {
    local python
    if ! find_python >/dev/null; then
        apt_install python3 python3-venv python3-pip
    fi
    if ! python="$(find_python)"; then
        say "Python 3.11 or later is needed; set PYTHON to one." >&2
        exit 1
    fi
    if [ ! -x "$1/bin/python" ] || ! "$1/bin/python" -m pip --version >/dev/null 2>&1; then
        say "Making a virtual environment in $1"
        "$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
        "$python" -m venv "$1"
    fi
    PY="$(cd "$1" && pwd)/bin/python"
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
    export PIP_RETRIES="${PIP_RETRIES:-10}" PIP_DEFAULT_TIMEOUT="${PIP_DEFAULT_TIMEOUT:-60}"
    unset PYTHONPATH PYTHONHOME
    # Every process would compile all it imports anew: the tests, and there are dozens, take longer.
    unset PYTHONDONTWRITEBYTECODE
}

# install_torch: PyTorch without CUDA where it is of no use. PyPI's build for Linux brings CUDA's
# libraries along. Where PyTorch's own index does not answer at once, pip takes PyPI's build later.
install_torch() {
    [ "$(uname -s)" = Linux ] || return 0
    if [ -e /proc/driver/nvidia/version ] || "$PY" -c 'import importlib.util as i, sys; sys.exit(i.find_spec("torch") is None)'; then
        return 0
    fi
    local index=https://download.pytorch.org/whl/cpu
    "$PY" - "$index/torch/" 2>/dev/null <<'END' || return 0
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=5).close()
END
    say "No NVIDIA card: PyTorch for the processor (about 0.2 GB instead of 3 GB)"
    "$PY" -m pip install --index-url "$index" torch torchvision ||
        say "That failed; the build of the package index is taken instead"
}

# install_package DIR EXTRAS: napari-wildseg in editable form, again when pyproject.toml changed.
# Each script leaves a mark; what has all that another script needs has that one's mark as well.
install_package() {
    if [ ! pyproject.toml -nt "$1/installed$2" ]; then
        return 0
    fi
    install_torch
    say "Installing napari-wildseg${2:+ with $2}: up to 4 GB to download and 7 GB on disk the first" \
        "time, most of it PyTorch and CUDA (1 GB and 2 GB without CUDA); later only what is missing"
    again "$PY" -m pip install --editable ".${2:+[$2]}"
    touch "$1/installed" "$1/installed$2"
}
