# Shared by the scripts beside it: where things are, how to speak, how to time a stage. Sourced, never run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit 1
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
STAMPS=$TARGET/stamps

# Under CI nothing is skipped: what is missing is a failure.
strict() { [ "${CI:-}" = true ]; }

say() { printf '==> %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# stage NAME COMMAND…: runs it, remembers its time and its outcome, and goes on after a failure.
STAGES=()
FAILED=0
stage() {
  local name=$1 started=$SECONDS result=ok
  shift
  say "$name"
  "$@" </dev/null || result=FAILED
  [ "$result" = ok ] || FAILED=1
  STAGES+=("$(printf '%6ds  %-7s %s' $((SECONDS - started)) "$result" "$name")")
  [ "$result" = ok ]
}

# skip NAME WHY: a stage that cannot run here; a failure under CI.
skip() {
  local result=skipped
  if strict; then
    result=FAILED
    FAILED=1
  fi
  say "$1: $result: $2"
  STAGES+=("$(printf '%6ds  %-7s %s: %s' 0 "$result" "$1" "$2")")
}

# Prints every stage with its time and ends the script: 1 when one of them failed.
finish() {
  printf '\n'
  printf '%s\n' "${STAGES[@]}"
  printf '%6ds  total\n' "$SECONDS"
  exit "$FAILED"
}

need_rust() {
  have cargo || die "Rust is missing: install it from https://rustup.rs"
  have cc || die "a C compiler is missing: apt-get install build-essential"
}

need_node() {
  local hint="install Node.js 20.19, 22.12 or 24, or a later one (not 21 or 23), from https://nodejs.org"
  have node || die "Node.js is missing: $hint"
  have npm || die "npm is missing: it comes with Node.js from https://nodejs.org, and as apt-get install npm from Debian"
  # What Vite and jsdom both run on; package.json says the same.
  node -e 'const [major, minor] = process.versions.node.split(".");
    process.exit((major == 20 && minor >= 19) || (major == 22 && minor >= 12) || major >= 24 ? 0 : 1)' ||
    die "Node.js $(node --version) will not do: $hint"
}

# install_packages DIR: npm packages as the lock file names them, only when it changed.
install_packages() {
  local dir=$1 lock stamp=$1/node_modules/.lock-hash
  lock=$(sha256sum <"$dir/package-lock.json")
  need_node
  if [ "$(cat "$stamp" 2>/dev/null)" = "$lock" ]; then return 0; fi
  say "installing the packages of $dir/"
  npm --prefix "$dir" ci --no-audit --no-fund --loglevel=error || return 1
  printf '%s\n' "$lock" >"$stamp"
}

# Builds web/dist when something of web/ changed since it was built.
build_page() {
  local sources
  sources=$(find web -name node_modules -prune -o -path web/dist -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
  if [ -f web/dist/index.html ] && [ "$(cat "$STAMPS/page" 2>/dev/null)" = "$sources" ]; then return 0; fi
  install_packages web || return 1
  say "building the page"
  npm --prefix web run --silent build || return 1
  mkdir -p "$STAMPS"
  printf '%s\n' "$sources" >"$STAMPS/page"
}

# The folder of Postgres's own programs (Debian keeps them out of PATH); nothing when there is none.
postgres_programs() {
  if have initdb; then
    dirname "$(command -v initdb)"
  else
    find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1
  fi
}

# The browser for the tests, here and in e2e/: what CHROMIUM names, else the first that is installed.
chromium_program() {
  if [ -n "${CHROMIUM:-}" ]; then
    command -v "$CHROMIUM"
  else
    command -v chromium || command -v chromium-browser || command -v google-chrome
  fi
}
