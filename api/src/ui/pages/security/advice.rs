//! Advice about security events: what each means, and what to do.

/// Event types with their meaning, and what to do about them.
const ADVICE: &[(&str, &str, &str)] = &[
    (
        "sync_blast_radius",
        "A sync run would have removed more than a fifth of the live runners; none was touched.",
        "Compare the held removals on the Fleet page with GitHub. If the organisation or the App is wrong, or GitHub \
         has an outage, do nothing: the next good run ends it. If the removals are right, confirm them there.",
    ),
    (
        "audit_chain_broken",
        "The audit chain or its checkpoints were changed.",
        "Run `rts verify-audit-log` and follow the guide to the audit log.",
    ),
    (
        "event_sink_skipped",
        "A sink of events was away until the retention removed rows that it had not got.",
        "Repair the sink. Export the rows that are left on the Audit page, and take the rest from a backup if you need \
         them.",
    ),
    (
        "workflow_not_cancelled",
        "A workflow run that violates a policy could not be cancelled.",
        "Cancel it on GitHub: the data names repository and run. The App needs the permission `actions: write`.",
    ),
    (
        "installation_suspended",
        "GitHub suspended the App's installation; its jobs are paused.",
        "Ask the organisation's owners. Waiting jobs go on by themselves afterwards.",
    ),
    (
        "unexpected_job",
        "A job of a repository or workflow that is not on the team's list ran on its runner.",
        "If it is wanted, add it to the team's policy. If not, close the runner group to that repository, and assume \
         that the job knows everything it could reach on that machine.",
    ),
    (
        "label_policy_violation_workflow",
        "A job asked for labels that its runner was never given: a person with rights on GitHub added them.",
        "Find out who may change runners on GitHub. The next sync run restores the labels or removes the runner.",
    ),
    (
        "label_policy_violation",
        "A caller asked for labels that the team may not use, or a runner gave them to itself.",
        "Talk to the requester. If the labels are right, change the team's policy.",
    ),
    (
        "ticket_guessing",
        "An address sent so many bad claim tickets that it is blocked for a while; none was accepted.",
        "If the address is a machine of yours, its ticket has expired or was used: look at the list of tickets. If it \
         is not, let only your networks reach the service.",
    ),
    (
        "runner_group_not_allowed",
        "A request or a runner used a runner group that the team may not use.",
        "Talk to the requester. If the group is right, change the team's policy.",
    ),
    (
        "runner_group_violation",
        "A request or a runner used a runner group that the team may not use.",
        "Talk to the requester. If the group is right, change the team's policy.",
    ),
    (
        "quota_exceeded",
        "A team asked for more runners than it may have.",
        "Look at the team: are old runners still needed? Otherwise raise its maximum.",
    ),
    (
        "label_drift_detected",
        "The labels on GitHub differ from the ones that the service bound.",
        "Find out who may change runners on GitHub.",
    ),
    (
        "runner_name_mismatch",
        "GitHub knows our runner's id under another name; the runner is left alone.",
        "Look at that runner on GitHub.",
    ),
    (
        "webhook_signature_invalid",
        "Webhooks arrive that none of our secrets signed; nothing was accepted.",
        "From GitHub's addresses, the secret there differs from `GITHUB_WEBHOOK_SECRET`. From others, let only GitHub \
         reach the webhook address.",
    ),
    (
        "credential_denied",
        "A caller asked for the config of a runner that another caller requested; it was refused.",
        "Ask the caller. If the request was not theirs, their token is stolen: use the incident switch.",
    ),
    (
        "admin_bound",
        "An invited admin signed in for the first time.",
        "Ask whether it was them. Otherwise deactivate the person at once.",
    ),
    (
        "user_bind_refused",
        "A token has the e-mail address of a person, but another subject or issuer.",
        "If the identity provider gave the person a new subject, unbind the person. Otherwise the token claims the \
         address of another person.",
    ),
    (
        "inactive_principal",
        "A deactivated person or machine client still sends tokens.",
        "Find what still uses this identity.",
    ),
    (
        "unknown_principal",
        "A valid token of an identity that is not known here.",
        "Nothing, or add the identity. Many of one repository or account: inform its owner.",
    ),
    (
        "runner_version_deprecated",
        "Runners use a version that GitHub will soon refuse.",
        "Roll out newer runner software before the day that the Fleet page names.",
    ),
];

/// Returns the meaning of an event type, and what to do about it.
pub(super) fn about(event_type: &str) -> (&'static str, &'static str) {
    let known = ADVICE.iter().find(|(name, ..)| *name == event_type);
    known.map_or(("", "Read the data below, and ask the person or the team."), |(_, meaning, advice)| {
        (*meaning, *advice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_event_has_advice() {
        let page = include_str!("../../../../../docs/operations/security-events.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let missing: Vec<&str> =
            rows.map(|(event, _)| event).filter(|event| about(event).0.is_empty()).collect();
        assert_eq!(missing, [""; 0]);
    }
}
