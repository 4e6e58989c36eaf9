//! Teams as decisions about labels need them: with labels that other teams require.

use domain::{InstallationId, Team, TeamId, fold_label, is_system_label};

use super::{TeamRow, Teams, bare_team_rows};
use crate::{Result, readable::read_row};

/// Key of all labels that are not ASCII. The SQL function `label_keys` gives it to them.
const OTHER_SCRIPTS: &str = "";

/// A runner group that several teams use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedGroup {
    /// GitHub installation.
    pub installation: String,
    /// GitHub's id of the group; `None` means the installation's default group.
    pub runner_group_id: Option<i64>,
    /// Names of the first three teams.
    pub names: Vec<String>,
    /// Number of teams.
    pub teams: i64,
}

impl Teams<'_> {
    /// Returns the team without its counts, as decisions about any labels need it. It reads every team of the
    /// installation.
    pub async fn policy(&mut self, id: TeamId) -> Result<Option<Team>> {
        let row = bare_team_rows!(
            "ARRAY(SELECT DISTINCT unnest(required_labels) FROM teams other
                WHERE other.installation = teams.installation AND other.id <> teams.id)",
            "WHERE id = $1",
            id.uuid()
        );
        read_row(row.fetch_optional(&mut *self.0).await?)
    }

    /// Returns the team without its counts, as a decision about `labels` alone needs it: of the labels that other teams
    /// require, it has at least those that equal one of these.
    pub async fn policy_on(&mut self, id: TeamId, labels: &[String]) -> Result<Option<Team>> {
        let row = bare_team_rows!(
            "ARRAY(SELECT DISTINCT unnest(required_labels) FROM teams other
                WHERE other.required_label_keys && $2 AND other.installation = teams.installation
                    AND other.id <> teams.id)",
            "WHERE id = $1",
            id.uuid(),
            &label_keys(labels),
        );
        read_row(row.fetch_optional(&mut *self.0).await?)
    }

    /// Returns runner groups that active teams of one installation share although they admit jobs of different
    /// repositories, at most `limit`.
    pub async fn shared_groups(&mut self, limit: i64) -> Result<Vec<SharedGroup>> {
        Ok(sqlx::query_as!(
            SharedGroup,
            r#"SELECT installation, nullif(runner_group_id, 0) AS runner_group_id,
                (array_agg(name ORDER BY name))[1:3] AS "names!", count(*) AS "teams!"
             FROM (SELECT installation, name, allowed_repositories, unnest(CASE cardinality(allowed_runner_group_ids)
                    WHEN 0 THEN ARRAY[0::int8] ELSE allowed_runner_group_ids END) AS runner_group_id
                FROM teams WHERE is_active) used
             GROUP BY installation, used.runner_group_id
             HAVING count(*) > 1 AND count(DISTINCT allowed_repositories) > 1
             ORDER BY installation, used.runner_group_id LIMIT $1"#,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns the labels that other teams of an installation require, each with the name of its team.
    pub async fn required_by_others(
        &mut self,
        id: TeamId,
        installation: &InstallationId,
    ) -> Result<Vec<(String, String)>> {
        let rows = sqlx::query!(
            r#"SELECT name, unnest(required_labels) AS "label!" FROM teams
             WHERE installation = $2 AND id <> $1 ORDER BY name"#,
            id.uuid(),
            installation.as_str(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows.into_iter().map(|row| (row.name, row.label)).collect())
    }
}

/// Returns the keys of all required labels that may equal one of `labels`. PostgreSQL cannot compare labels of other
/// scripts as the service does, so these are always read. GitHub's own labels belong to no team.
fn label_keys(labels: &[String]) -> Vec<String> {
    let folded = labels.iter().map(|label| fold_label(label));
    let ascii = folded.filter(|label| label.is_ascii() && !is_system_label(label));
    ascii.chain([OTHER_SCRIPTS.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_forms_without_labels_of_github() {
        let labels = ["Web", "ＬＩＮＵＸ", "ｇpu", "Straße", "日本"].map(str::to_owned);
        assert_eq!(label_keys(&labels), ["web", "gpu", "strasse", ""]);
        assert_eq!(label_keys(&[]), [""]);
    }
}
