//! Checks of the teams' policies, as the database knows them.

use store::SharedGroup;

use super::Finding;

/// Group of these findings.
const GROUP: &str = "teams";
/// Most shared runner groups that are named.
pub(super) const MAX_SHARED_GROUPS: i64 = 5;

/// Judges the runner groups that teams share although they admit jobs of different repositories.
pub(super) fn judge(shared: &[SharedGroup]) -> Vec<Finding> {
    if shared.is_empty() {
        return vec![Finding::ok(GROUP, "teams that share a runner group admit the same repositories")];
    }
    shared.iter().map(judge_group).collect()
}

fn judge_group(shared: &SharedGroup) -> Finding {
    let group = shared
        .runner_group_id
        .map_or_else(|| "the default runner group".to_owned(), |id| format!("runner group {id}"));
    let names = shared.names.join(", ");
    let others = shared.teams - i64::try_from(shared.names.len()).unwrap_or(shared.teams);
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    let detail = format!(
        "teams share {group} of {} and admit different repositories: {names}{others}",
        shared.installation
    );
    let repair = "Labels do not keep jobs apart: give each of these teams a runner group on GitHub, open to its repositories alone, and name it in `allowed_runner_group_ids`.";
    Finding::warn(GROUP, detail, repair)
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn shared_groups_are_named_with_their_teams() {
        assert_eq!(judge(&[])[0].level, Level::Ok);
        let shared = SharedGroup {
            installation: "default".to_owned(),
            runner_group_id: None,
            names: ["ml", "ops", "web"].map(str::to_owned).to_vec(),
            teams: 7,
        };
        let findings = judge(&[shared.clone(), SharedGroup { runner_group_id: Some(4), teams: 3, ..shared }]);
        let details: Vec<&str> = findings.iter().map(|finding| finding.detail.as_str()).collect();
        assert_eq!(
            details,
            [
                "teams share the default runner group of default and admit different repositories: ml, ops, web and 4 more",
                "teams share runner group 4 of default and admit different repositories: ml, ops, web"
            ]
        );
    }
}
