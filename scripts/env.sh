# Sourced by the other scripts: the environment in .venv, from a lock file.
#
#   use_environment serve|dev
#
# makes or completes it (only when a lock file changed) and puts it first in PATH. The working directory is then the
# repository's root; $caller is the one before. dev holds all of serve. WEAKSEG_PYTHON names another Python 3.11 than the
# python3.11 in PATH.

fail() {
    printf 'weakseg: %s\n' "$@" >&2
    exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
caller=$PWD
cd "$root" || fail "cannot enter $root"

use_environment() {
    mkdir -p .weakseg
    (
        ! command -v flock >/dev/null || flock 9 # two first starts at once: one makes it, the other waits
        is_made "$1" || make_environment "$1"
    ) 9>.weakseg/environment.lock
    export PATH="$root/.venv/bin:$PATH" PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
}

is_made() { grep -qsxF "$(stamp "$1")" .venv/.weakseg-stamp; }

# A moved repository counts as changed: scripts in .venv/bin hold its path.
stamp() { echo "$1 $(cat pyproject.toml setup.py src/native/* requirements/serve.lock "requirements/$1.lock" - <<<"$root" | cksum)"; }

make_environment() {
    local python=${WEAKSEG_PYTHON:-python3.11} version stamps
    stamps=$(stamp serve && stamp "$1") # of what is installed now: a lock file may change meanwhile
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
        fail "$python does not run." "Install Python 3.11 with its venv module, or set WEAKSEG_PYTHON to one."
    [ "$version" = 3.11 ] ||
        fail "$python is Python $version; the lock files are for 3.11." "Set WEAKSEG_PYTHON to a Python 3.11."
    echo "==> Python environment in .venv from requirements/$1.lock (once; 6 GB, mostly PyTorch with CUDA)"
    # An interrupted venv has a python, but no pip yet.
    .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv ||
        fail "cannot make .venv." "On Debian and Ubuntu: apt install python3.11-venv. Remove .venv, then try again."
    install --require-hashes -r "requirements/$1.lock"
    install --quiet --no-build-isolation -e .
    echo "$stamps" >.venv/.weakseg-stamp
}

install() {
    .venv/bin/python -m pip install --disable-pip-version-check --no-deps "$@" ||
        fail "pip install $* failed (see above)." "Mend the cause and run it again: what is there is kept."
}
