#!/usr/bin/env bash
# Everything that can be said of the code without running it; warnings are errors.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
need_rust
need_node

openapi_is_fresh() {
  # The binary that `cargo test` builds as well: nothing is compiled for this alone.
  cargo test --workspace --locked --no-run --quiet || return 1
  "$TARGET/debug/meet-ai" openapi | diff -u openapi.json - && return 0
  echo "openapi.json is out of date: run \`make openapi\` and commit it" >&2
  return 1
}

web_types() {
  npm --prefix web run --silent check || return 1
  web/node_modules/.bin/openapi-typescript openapi.json | diff -u web/src/lib/openapi.d.ts - && return 0
  echo "web/src/lib/openapi.d.ts is out of date: run \`make openapi\` and commit it" >&2
  return 1
}

shell_scripts() {
  local script
  for script in scripts/*.sh .ci/run; do bash -n "$script" || return 1; done
}

dependencies() {
  cargo deny --locked check bans licenses sources || return 1
  # Advisories need a database from the network; without it this says so and decides nothing.
  if cargo deny --locked fetch db >/dev/null 2>&1; then
    cargo deny --locked check advisories
  else
    echo "the advisory database cannot be reached: advisories not checked"
  fi
}

# The page comes first: the server embeds it, and would be compiled again were it built afterwards.
stage "build the page" build_page || true
stage "formatting" cargo fmt --all --check || true
stage "clippy" cargo clippy --workspace --all-targets --locked --quiet -- -D warnings || true
stage "rustdoc" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet || true
stage "openapi.json is fresh" openapi_is_fresh || true
stage "web types" web_types || true
stage "shell scripts" shell_scripts || true
if scripts/install-test-tools.sh shellcheck; then
  stage "shellcheck" shellcheck scripts/*.sh .ci/run || true
else
  skip "shellcheck" "apt-get install shellcheck, as root"
fi
if have cargo-deny; then
  stage "dependencies" dependencies || true
else
  say "dependencies: cargo-deny is not installed, not checked (cargo install cargo-deny --locked)"
fi
finish
