#!/usr/bin/env bash
# Random input for everything that parses what strangers send. MINUTES (default 5) is the time of each target.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
need_rust

minutes=${MINUTES:-5}
say "each target for $minutes minutes; a failure prints the seed that repeats it"
export BOLERO_RANDOM_TEST_TIME_MS=$((minutes * 60 * 1000)) BOLERO_RANDOM_ITERATIONS=18446744073709551615
# Unoptimised, as in every test: overflows are errors, and nothing is built twice.
exec cargo test --locked --package meet-fuzz -- --nocapture "$@"
