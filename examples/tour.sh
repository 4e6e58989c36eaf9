#!/bin/sh
# The whole service in one go, against `./dev run`: sign-in, a team and its policy, a runner that takes a job, a refusal and
# its explanation, the end of the runner, and the audit log. Needs curl and jq.
#
#   examples/tour.sh                              with the addresses of ./dev run
#   API=… ISSUER=… CONTROL=… examples/tour.sh     with others
#
# With RTS, the path of the program, and DATABASE_URL the tour also verifies the chain of the audit log.
set -eu
umask 077
: "${API:=http://127.0.0.1:8080}" "${ISSUER:=http://127.0.0.1:8092}" "${CONTROL:=http://127.0.0.1:8091}"

room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
export RTS_URL="$API" XDG_CONFIG_HOME="$room/config"
run=$(date +%s)

step() { printf '\n== %s\n' "$*"; }
client() { sh "$room/rts.sh" "$@"; }
# A call of the person whose token is in $TOKEN. It shows the problem if it is refused.
call() {
    printf 'header = "Authorization: Bearer %s"\n' "$TOKEN" |
        curl -sS -K - -H 'Content-Type: application/json' "$@"
}
token_of() {
    curl -sS --fail "$ISSUER/token" -d grant_type=urn:twin:person -d "sub=$1" | jq -r .access_token
}

step "Sign in as demo, by the device flow"
curl -fsS "$API/rts.sh" -o "$room/rts.sh"
: >"$room/said"
client login 2>"$room/said" &
login=$!
# The browser of a person: it opens the page of the provider and confirms the code.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    page=$(sed -n 's/.*open \([^ ]*\) .*/\1/p' "$room/said")
    [ -z "$page" ] || break
    sleep 0.5
done
curl -fsS "$page&person=demo"
wait "$login" || {
    cat "$room/said" >&2
    exit 1
}
client whoami | jq '{kind, identity, roles, teams: [.teams[].name]}'

step "An admin makes a team with a policy, and adds demo"
TOKEN=$(token_of admin)
team=$(call --fail-with-body "$API/api/v1/admin/teams" -d '{
  "name": "tour-'"$run"'", "description": "Made by the tour",
  "required_labels": ["tour"], "optional_label_patterns": ["glob:gpu-*"], "max_runners": 2
}' | jq -r .id)
demo=$(call --fail-with-body "$API/api/v1/admin/users?q=demo" | jq -r '.users[0].id')
call --fail-with-body "$API/api/v1/admin/teams/$team/members" -d '{"user_id": "'"$demo"'"}' | jq '{email, joined_at}'

step "demo gets a runner; the config goes into the environment of run.sh"
cat >"$room/run.sh" <<'RUN'
#!/bin/sh
printf 'run.sh has a config of %s characters\n' "${#ACTIONS_RUNNER_INPUT_JITCONFIG}"
RUN
client provision --label gpu-1 --team "$team" --prefix tour --key "tour-$run" --exec sh "$room/run.sh"
admin=$TOKEN
TOKEN=$(token_of demo)
runner=$(call --fail-with-body "$API/api/v1/runners?team=$team" | jq -r '.runners[0].runner_id')
call --fail-with-body "$API/api/v1/runners/$runner" | jq '{runner_name, status, labels}'

step "The same key gives the same runner"
client provision --label gpu-1 --team "$team" --prefix tour --key "tour-$run" >/dev/null
call --fail-with-body "$API/api/v1/runners?team=$team" | jq '{runners: .total}'

step "The runner takes a job (on the fake GitHub)"
github=$(call --fail-with-body "$API/api/v1/runners/$runner" | jq -r .github_runner_id)
curl -fsS -X PATCH "$CONTROL/runners/$github" -H 'Content-Type: application/json' \
    -d '{"status": "online", "busy": true}' -o /dev/null
call --fail-with-body -X POST "$API/api/v1/runners/$runner/refresh" -H 'Prefer: wait=25' -o /dev/null
call --fail-with-body "$API/api/v1/runners/$runner" | jq '{runner_name, status, busy}'
curl -fsS -X PATCH "$CONTROL/runners/$github" -H 'Content-Type: application/json' \
    -d '{"status": "online", "busy": false}' -o /dev/null

step "A label outside the policy is refused, and explained"
call "$API/api/v1/runners/jit" \
    -d '{"runner_name_prefix": "tour", "labels": ["fpga"], "team_id": "'"$team"'"}' | jq '{status, code, detail}'
call --fail-with-body "$API/api/v1/policies/explain" -d '{"team": "'"$team"'", "labels": ["fpga"]}' |
    jq '{allowed, code, failed: [.checks[] | select(.allowed | not) | .check], admins}'

step "demo removes the runner"
call --fail-with-body -X DELETE "$API/api/v1/runners/$runner" -H 'Prefer: wait=25' | jq '{runner_name, message}'

step "What the admin sees: the log of the team, and the state of the service in one sentence"
TOKEN=$admin
call --fail-with-body "$API/api/v1/admin/teams/$team/audit-logs?limit=20" |
    jq -r '.logs[] | [.event_type, .user_identity, .success, .runner_name] | @tsv'
call --fail-with-body "$API/api/v1/admin/verdict" | jq -r .sentence

step "The chain of the audit log"
if [ -n "${RTS:-}" ] && [ -n "${DATABASE_URL:-}" ]; then
    "$RTS" verify-audit-log
else
    echo "rts verify-audit-log compares it, with the settings of the service."
fi

step "The end: the team is deactivated"
call --fail-with-body "$API/api/v1/admin/teams/$team/deactivate" -d '{"reason": "the tour is over"}' | jq '{name, is_active}'
