#!/bin/sh
# On Debian and Ubuntu, install the few system packages that Python, Qt and a virtual display need, or print the
# one line that does. Elsewhere the wheels bring everything, so there is nothing to do.
# Usage: system-libraries.sh PYTHON
set -eu
command -v apt-get >/dev/null 2>&1 || exit 0

present=$(/sbin/ldconfig -p)
missing=""

# Requested by file, because packages change their names between releases (libglib2.0-0 is libglib2.0-0t64 now).
while read -r library package; do
    case "$present" in
        *"$library "*) ;;
        *) missing="$missing $package" ;;
    esac
done <<'LIST'
libEGL.so.1 libegl1
libGL.so.1 libgl1
libX11-xcb.so.1 libx11-xcb1
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libglib-2.0.so.0 libglib2.0-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-randr.so.0 libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0 libxcb-shape0
libxcb-xfixes.so.0 libxcb-xfixes0
libxcb-xkb.so.1 libxcb-xkb1
libxkbcommon-x11.so.0 libxkbcommon-x11-0
LIST
if ! "$1" -c "" >/dev/null 2>&1; then
    missing="$missing python3 python3-venv"
elif ! "$1" -c "import ensurepip" >/dev/null 2>&1; then
    missing="$missing python3-venv"
fi
if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    command -v Xvfb >/dev/null 2>&1 || missing="$missing xvfb"
    command -v xauth >/dev/null 2>&1 || missing="$missing xauth"
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "Some system libraries are missing. Run this line, then try again:" >&2
    echo "    sudo apt-get update && sudo apt-get install -y$missing" >&2
    exit 1
fi
echo "Installing system libraries:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # both are lists of words
if ! { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing; } </dev/null >/dev/null; then
    echo "The system libraries could not be installed. With a network, this line does it:" >&2
    echo "    sudo apt-get update && sudo apt-get install -y$missing" >&2
    exit 1
fi
