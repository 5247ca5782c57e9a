#!/usr/bin/env bash
# Writes openapi.json from the code, and the page's types from it.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
need_rust
need_node

mkdir -p "$TARGET"
cargo run --quiet --locked -- openapi >"$TARGET/openapi.json"
mv "$TARGET/openapi.json" openapi.json
install_packages web
npm --prefix web run --silent api
say "openapi.json is fresh"
