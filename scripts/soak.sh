#!/usr/bin/env bash
# The long runs: the tests that know a long variant (kills, floods, slow readers), then random input.
# MINUTES (default 5) is the time of each target of the random input.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
need_rust
need_node

# Nothing of the person who runs this reaches a test.
unset MEET_AI_KEY MEET_AI_URL MEET_AI_CONFIG MEET_AI_DATABASE_URL

stage "tools for the tests" scripts/install-test-tools.sh postgresql python3 strace || true
stage "build the page" build_page || true
stage "the long variants of the tests" \
  scripts/with-postgres.sh env MEET_AI_SOAK=1 cargo test --workspace --locked --no-fail-fast || true
stage "random input" scripts/fuzz.sh || true
finish
