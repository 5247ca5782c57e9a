#!/usr/bin/env bash
# Installs the Python SDK that the tests drive, into a virtual environment of its own and only when its list or Python changed.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

list=e2e/sdk/python/requirements.txt
place=$TARGET/sdk-python
have python3 || die "Python 3.10 or later is missing: as root, apt-get install python3 python3-venv"
wanted=$({ python3 --version && cat "$list"; } | sha256sum)
if [ "$(cat "$place/.list-hash" 2>/dev/null)" = "$wanted" ]; then exit 0; fi
say "installing the Python SDK"
# What is there counts as complete, so half of it must not stay.
fail() {
  rm -rf "$place"
  die "$1"
}
python3 -m venv --clear "$place" || fail "python3 has no venv: as root, apt-get install python3-venv"
"$place/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --requirement "$list" ||
  fail "the Python SDK could not be installed from PyPI"
printf '%s\n' "$wanted" >"$place/.list-hash"
