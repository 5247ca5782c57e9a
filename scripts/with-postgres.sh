#!/usr/bin/env bash
# Runs a command beside a Postgres of its own: a new cluster in a temporary folder, on a free port, every commit
# synced, stopped and removed when the command ends. The command finds it in MEET_AI_TEST_POSTGRES.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

programs=$(postgres_programs) || true
[ -n "$programs" ] || die "Postgres is missing: as root, apt-get install postgresql"
have python3 || die "Python 3 is missing: as root, apt-get install python3"

home=$(mktemp -d "${TMPDIR:-/tmp}/meet-ai-postgres.XXXXXX")
cluster=$home/cluster

# Postgres refuses root: then it belongs to another user.
as_owner() { "$@"; }
if [ "$(id -u)" = 0 ]; then
  owner=postgres
  id "$owner" >/dev/null 2>&1 || owner=nobody
  as_owner() { setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups env HOME="$home" "$@"; }
fi

stop() {
  if [ -f "$cluster/postmaster.pid" ]; then
    as_owner "$programs/pg_ctl" stop --pgdata "$cluster" --mode immediate --silent >/dev/null 2>&1 || true
  fi
  rm -rf "$home"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf '%s\n' "$password" >"$home/password"
if [ "$(id -u)" = 0 ]; then chown -R "$owner" "$home"; fi
cd "$home"
as_owner "$programs/initdb" --pgdata "$cluster" --username meet --pwfile "$home/password" --auth scram-sha-256 \
  --encoding UTF8 --locale C.UTF-8 --no-sync >/dev/null

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
start() {
  port=$(free_port)
  as_owner "$programs/pg_ctl" start --pgdata "$cluster" --wait --silent --log "$home/log" --options \
    "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$home -c fsync=on -c max_connections=300"
}
# Somebody else may take the port between asking and binding.
start || start || { cat "$home/log" >&2 && die "Postgres did not start"; }

cd "$ROOT"
export MEET_AI_TEST_POSTGRES="postgres://meet:$password@127.0.0.1:$port/postgres"
"$@"
