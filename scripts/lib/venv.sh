# Sourced by the scripts beside it. Makes `.venv` in the repository, with the package installed in editable mode.
# The scripts own `.venv`: it is built afresh when pyproject.toml or the repository's path changes.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VENV=$ROOT/.venv

fail() {
  echo "$(basename "$0"): $1" >&2
  exit 1
}

# apt_install PACKAGE: installs a package without asking, or says in one line what to install.
apt_install() {
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    sudo=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null || ! "${sudo[@]}" true 2>/dev/null; then
    fail "please install $1 (Debian: sudo apt-get install $1)"
  fi
  echo "installing $1"
  "${sudo[@]}" apt-get -qq update || true # one unreachable source need not stop the installation
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$1" >/dev/null ||
    fail "please install $1: apt-get could not"
}

# find_python: prints a Python that is new enough; PYTHON names another one.
find_python() {
  local python
  for python in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  fail "please install Python 3.11 or newer"
}

# ensure_venv [EXTRA]: leaves a `.venv` that has the package and that extra. One with an extra also serves without.
ensure_venv() {
  local python version wanted extra=${1:-}
  wanted=$({ echo "$ROOT" && cat "$ROOT/pyproject.toml"; } | sha256sum)
  if "$VENV/bin/python" -c '' 2>/dev/null && grep -qsxF "$wanted" "$VENV/installed${extra:+-$extra}"; then
    return
  fi
  python=$(find_python)
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then # Debian keeps these apart
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    apt_install "python$version-venv"
  fi
  echo "installing the package into .venv"
  "$python" -m venv --clear "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$ROOT${extra:+[$extra]}"
  echo "$wanted" >"$VENV/installed"
  echo "$wanted" >"$VENV/installed${extra:+-$extra}"
}
