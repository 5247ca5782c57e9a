#!/usr/bin/env bash
# Installs what the tests need from Debian, or only the packages that are named, where it is missing and this is root;
# otherwise says what is missing.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || set -- postgresql python3 python3-venv chromium strace
is_installed() {
  case $1 in
    postgresql) [ -n "$(postgres_programs)" ] ;;
    chromium) chromium_program >/dev/null ;;
    python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
    *) have "$1" ;;
  esac
}
missing=()
for package in "$@"; do is_installed "$package" || missing+=("$package"); done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && have apt-get; then
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null && exit 0
fi
die "missing: ${missing[*]}: as root, apt-get install ${missing[*]}"
