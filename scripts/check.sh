# What a change must pass besides the tests. Sourced by ./dev, at the root of the repository.
# shellcheck shell=sh

step() {
    say "$*"
    "$@"
}

check_scripts() {
    for script in dev scripts/*.sh clients/*.sh; do
        sh -n "$script"
        if have dash; then dash -n "$script"; fi
    done
    if have bash; then bash -n .ci/run; fi
    if have shellcheck; then shellcheck -x dev scripts/*.sh clients/*.sh .ci/run; fi
}

# Links between items of the documentation, private ones included.
check_documentation() {
    RUSTDOCFLAGS="-D rustdoc::broken_intra_doc_links" \
        cargo doc --workspace --no-deps --document-private-items --locked
}

check_dependencies() {
    listed=$(cargo tree --locked --workspace --target all -e normal,build,dev --prefix none -f '{p}|{l}')
    printf '%s\n' "$listed" | awk -f scripts/dependencies.awk deny.toml Cargo.lock -
}

# Advisories come from a database that is fetched. Without a network the check is left out, aloud.
check_advisories() {
    if cargo deny --locked fetch db; then
        step cargo deny --locked check advisories
    else
        say "skipped: advisories, whose database cannot be fetched"
    fi
}

check() {
    step cargo fmt --all --check
    step cargo clippy --workspace --all-targets --locked -- -D warnings
    step check_documentation
    step check_dependencies
    if cargo deny --version >/dev/null 2>&1; then
        step cargo deny --locked check licenses bans sources
        check_advisories
    fi
    step check_scripts
    say "all good"
}
