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
