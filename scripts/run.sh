#!/usr/bin/env bash
# Builds what changed and starts the server; arguments go to it. With --build-only it stops after building.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

need_rust
build_page
if [ ! -x "$TARGET/release/meet-ai" ]; then say "building the server (the first time takes several minutes)"; fi
cargo build --release --locked
if [ "${1:-}" = --build-only ]; then
  say "built $TARGET/release/meet-ai"
  exit 0
fi
say "starting $TARGET/release/meet-ai $*"
exec "$TARGET/release/meet-ai" "$@"
