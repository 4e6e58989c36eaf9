# Writes .sqlx, what the compiler knows of each query, from a throw-away PostgreSQL with all migrations.
# Sourced by ./dev, at the root of the repository. With --check it compares instead of writing.
# shellcheck shell=sh

# Only the store speaks SQL. The macros ask the database when they are expanded, so the crate must be
# compiled anew; afterwards its time is put back, so that builds which are fresh stay so.
describe_queries() {
    found=$1 entry=crates/store/src/lib.rs
    touch -r "$entry" "$found/before"
    touch "$entry"
    touch -r "$entry" "$found/touched"
    status=0
    mkdir "$found/sqlx"
    # The inner shell expands these.
    # shellcheck disable=SC2016
    cargo run -q -p devstack --bin with-stack -- --migrations migrations --seed-cache "$PWD/target/devstack" \
        --pg-bin "$DEV_PG_BIN" --redis-bin "$DEV_REDIS_BIN" -- \
        sh -c 'DATABASE_URL=$TEST_DATABASE_URL SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$1 cargo check -q -p store' \
        sh "$found/sqlx" || status=$?
    # Unless somebody has saved the file meanwhile.
    [ -n "$(find "$entry" -newer "$found/touched")" ] || touch -r "$found/before" "$entry"
    return $status
}

prepare() {
    found=$(mktemp -d)
    trap 'rm -rf "$found"' EXIT
    describe_queries "$found" || exit $?
    count=$(find "$found/sqlx" -name 'query-*.json' | wc -l | tr -d ' ')
    if [ "${1:-}" = --check ]; then
        mkdir -p .sqlx
        if ! diff -r .sqlx "$found/sqlx" >&2; then
            say ".sqlx is stale: run ./dev prepare and commit it"
            exit 1
        fi
        say ".sqlx is fresh ($count queries)"
    else
        rm -rf .sqlx
        cp -R "$found/sqlx" .sqlx
        say "wrote .sqlx ($count queries)"
    fi
}
