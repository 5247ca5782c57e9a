#!/usr/bin/env bash
# Every test: Rust on SQLite and on a real Postgres, the page's own, and the built binary in a browser.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
need_rust
need_node

# Nothing of the person who runs this reaches a test.
unset MEET_AI_KEY MEET_AI_URL MEET_AI_CONFIG MEET_AI_DATABASE_URL

# Says what is missing; only CI insists on it.
tools() {
  scripts/install-test-tools.sh || ! strict
}

page_tests() {
  install_packages web && npm --prefix web run --silent test
}

binary() {
  cargo build --profile ci --locked
}

# Says why it cannot be installed; only CI insists on it, and the tests that need it say that they were skipped.
python_sdk() {
  scripts/install-python-sdk.sh || ! strict
}

# The program that drives the Rust SDK; `cargo test` built it already.
rust_sdk() {
  cargo build --workspace --examples --locked
}

end_to_end() {
  install_packages e2e && MEET_AI_BIN="$TARGET/ci/meet-ai" npm --prefix e2e run --silent test
}

stage "tools for the tests" tools || true
stage "build the page" build_page || true
if [ -n "$(postgres_programs)" ]; then
  stage "Rust, SQLite and Postgres" scripts/with-postgres.sh cargo test --workspace --locked --no-fail-fast || true
else
  stage "Rust, SQLite" cargo test --workspace --locked --no-fail-fast || true
  skip "Rust, Postgres" "apt-get install postgresql, as root"
fi
have strace || skip "syncs before acknowledgements" "apt-get install strace, as root"
[ "$(id -u)" = 0 ] || skip "full disks" "only root may mount a small disk"
stage "the page's own tests" page_tests || true
chromium_program >/dev/null || skip "the pages in a browser" "apt-get install chromium, as root"
stage "the Python SDK" python_sdk || true
stage "the Rust SDK" rust_sdk || true
if stage "build the binary" binary; then
  stage "end to end" end_to_end || true
else
  skip "end to end" "there is no binary"
fi
finish
