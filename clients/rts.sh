#!/bin/sh
# Runner Token Service from a shell: POSIX sh and curl, nothing else.
set -eu
umask 077

usage() {
    cat <<'TEXT'
usage: rts.sh provision --label LABEL... [OPTIONS] [--exec COMMAND [ARG...]]
       rts.sh remove RUNNER_ID
       rts.sh whoami
       rts.sh login

Gets a just-in-time runner config and starts the runner with it.

  --url URL             the service            [RTS_URL]
  --label LABEL         a label of the runner; repeat it
  --team TEAM           name or id; needed by callers of several teams
  --prefix PREFIX       begin of the generated name (default: ci)
  --wait SECONDS        longest wait for the config (default: 300)
  --key KEY             Idempotency-Key: the same key is the same runner
  --config-file FILE    write the config to this new file, mode 0600
  --exec COMMAND...     run COMMAND with the config in its environment (ACTIONS_RUNNER_INPUT_JITCONFIG)

The token comes from the first of these: RTS_TOKEN_FILE, RTS_TOKEN, GitHub Actions (permission id-token: write; audience
RTS_AUDIENCE, by default the one that the service names), RTS_ID_TOKEN (GitLab), /var/run/secrets/rts/token (Kubernetes), the file that login writes for this service.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a server is away, 4 refused or not found, 5 no valid token,
6 still waiting when --wait ended. With --exec: that of COMMAND.

Examples:
  rts.sh provision --url https://runners.example.com --label linux --exec ./run.sh
  rts.sh login --url https://runners.example.com
  rts.sh provision --label gpu --key "$CI_PIPELINE_ID" --config-file jit.config
TEXT
}

say() { printf 'rts.sh: %s\n' "$*" >&2; }
fail() {
    code=$1
    shift
    say "$*"
    exit "$code"
}

# The string value of a member of the JSON object in $2.
member() { printf '%s' "$2" | sed -n 's/.*"'"$1"'" *: *"\(\([^"\\]\|\\.\)*\)".*/\1/p' | head -n 1; }

# A JSON string.
quoted() { printf '"%s"' "$(printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')"; }

# Sets the audience of a workflow's token: RTS_AUDIENCE, or what the service names. A token for a name that other
# services may have too would be good there, so such a name is not taken over.
find_audience() {
    audience=${RTS_AUDIENCE:-}
    [ -z "$audience${RTS_TOKEN_FILE:-}${RTS_TOKEN:-}" ] && [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ] || return 0
    config=$(curl -sS --max-time 20 --retry 3 --retry-connrefused "$url/api/v1/auth/config") ||
        fail 3 "the service is away"
    audience=$(member token_audience "$config")
    host=${url#*://} && host=${host%%/*}
    case $audience in
    '') audience=runner-token-service ;;
    runner-token-service | runner-tokens | "$host" | "$host"/* | "https://$host" | "https://$host"/*) ;;
    *) fail 2 "the service names the audience $audience, as others may; set RTS_AUDIENCE to it if that is right" ;;
    esac
}

find_token() {
    if [ -n "${RTS_TOKEN_FILE:-}" ]; then
        cat "$RTS_TOKEN_FILE"
    elif [ -n "${RTS_TOKEN:-}" ]; then
        printf '%s' "$RTS_TOKEN"
    elif [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ]; then
        answer=$(printf 'header = "Authorization: bearer %s"\n' "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" |
            curl -sS --fail --max-time 20 -K - -G --data-urlencode "audience=$audience" \
                "$ACTIONS_ID_TOKEN_REQUEST_URL") || return 1
        member value "$answer"
    elif [ -n "${RTS_ID_TOKEN:-}" ]; then
        printf '%s' "$RTS_ID_TOKEN"
    elif [ -r /var/run/secrets/rts/token ]; then
        cat /var/run/secrets/rts/token
    elif [ -n "$token_file" ] && [ -r "$token_file" ]; then
        cat "$token_file"
    else
        return 1
    fi
}

# The identity provider's answer. Secret words of a form come from stdin, as lines of a curl config.
ask_issuer() {
    curl -sS -K - --max-time 20 "$@" || fail 3 "the identity provider is away"
}

# The address of an endpoint in the provider's document.
endpoint() { member "$1" "$document" | sed 's/\\//g'; }

# Follows the device flow (RFC 8628) and keeps the token in a file that only its owner may read, for this service alone.
login() {
    [ -n "$token_file" ] || fail 2 "set HOME or XDG_CONFIG_HOME"
    config=$(curl -sS --fail --max-time 20 "$url/api/v1/auth/config") || fail 3 "the service is away"
    config=${config%%\}*}
    issuer=$(member issuer "$config") client_id=$(member client_id "$config") audience=$(member audience "$config")
    scopes=$(printf '%s' "$config" | sed -n 's/.*"scopes":\[\([^]]*\)\].*/\1/p' | tr -d '"' | tr ',' ' ')
    [ -n "$client_id" ] || fail 4 "the service names no issuer for sign-in"
    document=$(ask_issuer --fail "${issuer%/}/.well-known/openid-configuration" </dev/null) || exit
    asked=$(ask_issuer --data-urlencode "client_id=$client_id" --data-urlencode "scope=$scopes" \
        ${audience:+--data-urlencode "audience=$audience"} "$(endpoint device_authorization_endpoint)" </dev/null) || exit
    code=$(member device_code "$asked") page=$(member verification_uri_complete "$asked")
    [ -n "$code" ] || fail 4 "the identity provider refused: $(member error "$asked")"
    say "open ${page:-$(member verification_uri "$asked")} and confirm the code $(member user_code "$asked")"
    deadline=$(($(date +%s) + wait))
    interval=$(printf '%s' "$asked" | sed -n 's/.*"interval" *: *\([0-9]\{1,3\}\).*/\1/p')
    : "${interval:=5}"
    while :; do
        answer=$(printf 'data-urlencode = "device_code=%s"\n' "$code" |
            ask_issuer --data-urlencode 'grant_type=urn:ietf:params:oauth:grant-type:device_code' \
                --data-urlencode "client_id=$client_id" "$(endpoint token_endpoint)") || exit
        case $(member error "$answer") in
        '') break ;;
        authorization_pending) ;;
        slow_down) interval=$((interval + 5)) ;;
        *) fail 5 "the sign-in failed: $(member error "$answer")" ;;
        esac
        deadline_passed && fail 6 "the code was not confirmed in time"
        sleep "$interval"
    done
    token=$(member access_token "$answer")
    case $token in *.*.*) ;; *) token=$(member id_token "$answer") ;; esac
    [ -n "$token" ] || fail 5 "the identity provider gave no token"
    mkdir -p "${token_file%/*}"
    printf '%s\n' "$token" >"$token_file.new" && mv "$token_file.new" "$token_file"
    say "signed in until the token ends"
}

# call METHOD PATH [CURL ARGUMENTS]: sets status, retry_after and body. The token is never on a command line.
call() {
    method=$1 path=$2
    shift 2
    [ -n "$audience" ] || find_audience
    token=$(find_token) || fail 5 "no token: set RTS_TOKEN, RTS_TOKEN_FILE or RTS_ID_TOKEN, or allow id-token: write"
    # Without a response, the texts of the call before would count as its own.
    rm -f "$scratch/head" "$scratch/body"
    ended=0
    status=$(printf 'header = "Authorization: Bearer %s"\n' "$token" |
        curl -sS -K - -X "$method" --max-time 40 -D "$scratch/head" -o "$scratch/body" -w '%{http_code}' \
            "$@" "$url/api/v1$path") || ended=$?
    case $ended in
    0) ;;
    51 | 60 | 77) fail 2 "the certificate of the service cannot be trusted; CURL_CA_BUNDLE names a file of authorities" ;;
    *) status=000 ;;
    esac
    body=$(cat "$scratch/body" 2>/dev/null) || body=
    retry_after=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]*\).*/\1/p' "$scratch/head" 2>/dev/null | head -n 1)
}

refused() {
    problem="$(member code "$body"): $(member detail "$body")"
    case $status in
    000 | 429 | 5??) fail 3 "the service is away or busy ($status): $problem" ;;
    401) fail 5 "the token was not accepted: $problem" ;;
    *) fail 4 "refused ($status): $problem" ;;
    esac
}

deadline_passed() { [ "$(date +%s)" -ge "$deadline" ]; }

# Waits as long as the service asks, within the deadline.
pause() {
    deadline_passed && fail 6 "still waiting; run this again with --key $key to go on"
    sleep "${retry_after:-2}"
}

obtain_config() {
    say "idempotency key $key"
    while :; do
        call POST /runners/jit -H 'Content-Type: application/json' -H 'Prefer: wait=25' \
            -H "Idempotency-Key: $key" --data "$request"
        case $status in
        201 | 202) break ;;
        000 | 429 | 503) pause ;;
        *) refused ;;
        esac
    done
    job=$(member job_id "$body")
    while [ "$status" != 201 ]; do
        call GET "/jobs/$job?wait=25"
        case $status:$(member state "$body") in
        200:succeeded)
            call POST "/jobs/$job/credential"
            [ "$status" = 200 ] || refused
            break
            ;;
        200:failed | 200:cancelled | 200:expired)
            fail 1 "job $job: $(member code "$body"): $(member detail "$body")"
            ;;
        200:*)
            say "job $job waits: $(member blocked_on "$body")"
            retry_after=1
            pause
            ;;
        000:* | 429:* | 503:*) pause ;;
        *) refused ;;
        esac
    done
    config=$(member encoded_jit_config "$body")
    [ -n "$config" ] || fail 1 "the answer holds no config"
    say "runner $(member runner_name "$body") is ready"
}

provision() {
    [ -n "$labels" ] || fail 2 "name at least one --label"
    [ ! -e "$file" ] || fail 2 "$file exists already"
    request="{\"runner_name_prefix\":$(quoted "$prefix"),\"labels\":[$labels]"
    [ -z "$team" ] || request="$request,\"team\":$(quoted "$team")"
    request="$request}"
    deadline=$(($(date +%s) + wait))
    : "${key:=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')}"
    obtain_config
    if [ -n "$file" ]; then
        (set -C && printf '%s\n' "$config" >"$file") || fail 1 "$file exists already"
    fi
    if [ $# -gt 0 ]; then
        rm -rf "$scratch"
        trap - EXIT
        # The jobs of the runner must not act as the caller.
        unset RTS_TOKEN RTS_TOKEN_FILE RTS_ID_TOKEN ACTIONS_ID_TOKEN_REQUEST_TOKEN ACTIONS_ID_TOKEN_REQUEST_URL
        ACTIONS_RUNNER_INPUT_JITCONFIG=$config exec "$@"
    fi
    [ -n "$file" ] || printf '%s\n' "$config"
}

url=${RTS_URL:-} labels='' team='' prefix=ci wait=300 key='' file='' audience=''
case ${1:-} in
provision | remove | whoami | login) command=$1 && shift ;;
-h | --help) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac
while [ $# -gt 0 ]; do
    case $1 in
    --exec) shift && break ;;
    -h | --help) usage && exit 0 ;;
    --*) [ $# -gt 1 ] || fail 2 "$1 needs a value" ;;
    *) break ;;
    esac
    case $1 in
    --url) url=$2 ;;
    --label) labels="$labels${labels:+,}$(quoted "$2")" ;;
    --team) team=$2 ;;
    --prefix) prefix=$2 ;;
    --wait) wait=$2 ;;
    --key) key=$2 ;;
    --config-file) file=$2 ;;
    *) fail 2 "unknown option $1; see rts.sh --help" ;;
    esac
    shift 2
done
[ -n "$url" ] || fail 2 "set --url or RTS_URL"
case $wait in '' | *[!0-9]*) fail 2 "--wait takes seconds" ;; esac
url=${url%/}
token_file=${XDG_CONFIG_HOME:-${HOME:+$HOME/.config}}
token_file=${token_file:+$token_file/rts.sh/$(printf '%s' "${url#*://}" | tr '/:' '__').token}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

case $command in
provision) provision "$@" ;;
remove)
    [ $# = 1 ] || fail 2 "remove takes one runner id"
    call DELETE "/runners/$1"
    case $status in
    200 | 202 | 204) say "the removal of $1 was accepted" ;;
    *) refused ;;
    esac
    ;;
login) login ;;
whoami)
    call GET /auth/me
    [ "$status" = 200 ] || refused
    printf '%s\n' "$body"
    ;;
esac
