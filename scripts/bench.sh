#!/usr/bin/env bash
# Builds the server and the load generator for speed, and measures; arguments go to the load generator, which knows the
# works by name: channel-storm is one, channels are all of the Centrifugo protocol.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
need_rust

build_page
# Each by itself: what the load generator needs must not change how the server is built.
cargo build --release --locked
cargo build --release --locked --package meet-bench
mkdir -p "$TARGET/bench"
exec "$TARGET/release/meet-bench" --binary "$TARGET/release/meet-ai" --directory "$TARGET/bench" "$@"
