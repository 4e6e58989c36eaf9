# Puts the queues of bench/peers into target/peers, for `./dev bench --peers`. Sourced by ./dev.
# What cannot be installed is not measured; the benchmark says so.
# shellcheck shell=sh

PEERS=target/peers

install_bullmq() {
    if ! have node || ! have npm; then
        say "BullMQ needs node and npm"
        return 1
    fi
    mkdir -p "$PEERS/bullmq"
    cp bench/peers/bullmq/*.json bench/peers/bullmq/*.mjs "$PEERS/bullmq"
    # Not `npm ci`: it refuses a lock file that does not list optional packages of other machines.
    npm install --prefix "$PEERS/bullmq" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
}

install_arq() {
    have python3 || { say "arq needs python3"; return 1; }
    [ -x "$PEERS/arq/bin/python" ] || python3 -m venv "$PEERS/arq" || return 1
    cp bench/peers/arq/peer.py "$PEERS/arq"
    "$PEERS/arq/bin/python" -m pip install -q --disable-pip-version-check --only-binary :all: --require-hashes \
        -r bench/peers/arq/requirements.txt
}

# A target folder of its own: another lock file, and no part of the workspace.
install_apalis_redis() {
    cargo build -q --release --locked --manifest-path bench/peers/apalis-redis/Cargo.toml \
        --target-dir "$PEERS/apalis-redis"
}

install_peers() {
    for peer in bullmq arq apalis_redis; do
        say "installing $peer into $PEERS"
        "install_$peer" || say "$peer is not installed and will not be measured"
    done
}
