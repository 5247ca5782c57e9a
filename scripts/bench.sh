#!/usr/bin/env bash
# Builds the release binary and the load generator, then measures; arguments go to the generator (--help lists them).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

need_rust
# Standard output is the table alone.
{
  build_page
  cargo build --release --locked
  cargo build --release --locked -p meet-bench
} >&2
exec "$TARGET/release/meet-bench" --binary "$TARGET/release/meet-ai" --directory "$TARGET/bench" "$@"
