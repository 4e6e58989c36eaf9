#!/bin/sh
# Makes a plain Linux machine of Google Cloud a runner for one job, without an image of its own: installs the runner
# software, identifies the machine by its service account, starts the runner, and switches the machine off.
set -eu
umask 077
: "${RTS_URL:=https://runners.example.com}" "${RTS_AUDIENCE:=runner-tokens}" "${RUNNER_HOME:=/opt/actions-runner}"
: "${RUNNER_SOFTWARE:=https://github.com/actions/runner/releases/download/v2.330.0/actions-runner-linux-x64-2.330.0.tar.gz}"
: "${METADATA:=http://metadata.google.internal/computeMetadata/v1}" "${AFTERWARDS:=poweroff}"
export RTS_URL

mkdir -p "$RUNNER_HOME"
cd "$RUNNER_HOME"
curl -fsSL "$RUNNER_SOFTWARE" | tar -xz
curl -fsS "$RTS_URL/rts.sh" -o rts.sh

RTS_TOKEN=$(curl -fsS -H 'Metadata-Flavor: Google' \
    "$METADATA/instance/service-accounts/default/identity?audience=$RTS_AUDIENCE&format=full")
export RTS_TOKEN
machine=$(curl -fsS -H 'Metadata-Flavor: Google' "$METADATA/instance/id")

# The jobs of the runner get neither the token nor the config: the client takes the one, the runner the other out of its
# environment.
trap '$AFTERWARDS' EXIT
sh rts.sh provision --label gpu-1 --prefix vm --key "vm-$machine" --exec ./run.sh
