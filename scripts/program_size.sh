#!/bin/sh
# Fails if the users' program is larger than what each machine that starts a runner should have to download.
set -eu

MAX_BYTES=8000000

bytes=$(wc -c <"$1")
echo "$1: $((bytes)) bytes, at most $MAX_BYTES" >&2
[ "$bytes" -le "$MAX_BYTES" ]
