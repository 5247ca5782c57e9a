#!/usr/bin/env bash
# Installs what the tests need from Debian when it is missing and this is root; otherwise says what is missing.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

missing=()
[ -n "$(postgres_programs)" ] || missing+=(postgresql)
chromium_program >/dev/null || missing+=(chromium)
have strace || missing+=(strace)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && have apt-get; then
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null && exit 0
fi
die "the tests need ${missing[*]}: as root, apt-get install ${missing[*]}"
