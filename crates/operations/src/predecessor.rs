//! Import of the predecessor's database: teams with their policies, people, memberships, machine clients, live runners and
//! the audit log, in one transaction.

mod read;
mod rows;

use std::collections::HashMap;

use domain::{InstallationId, Problem, ProblemCode, Requester, TeamId, UserId};
use serde_json::json;
use store::{Predecessor, SchemaDifference, Tx};

use crate::{Administrator, Adoption, Operations, Result};

/// Most sentences about single rows in a report.
const MAX_NOTES: usize = 200;
/// Rows of the audit log that are copied at a time.
const AUDIT_PAGE: i64 = 1000;

/// Values that the predecessor has for the whole service, and we for each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportTarget {
    /// Issuer of all people and machine clients.
    pub issuer: String,
    /// Installation of all teams and runners.
    pub installation: InstallationId,
}

/// Result of an import, or of its rehearsal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Host and name of the predecessor's database.
    pub source: String,
    /// Counts of each kind of rows, in the order of the import.
    pub kinds: Vec<ImportedKind>,
    /// Why single rows were left out or changed, the first 200.
    pub notes: Vec<String>,
    /// Number of further sentences.
    pub more_notes: usize,
}

/// Counts of one kind of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportedKind {
    /// Name of the kind, in the plural.
    pub kind: &'static str,
    /// Rows that were added.
    pub added: usize,
    /// Rows that were here already and stay as they are.
    pub kept: usize,
    /// Rows that cannot be imported.
    pub left_out: usize,
}

/// What became of one row.
enum Outcome {
    Added,
    Kept,
    LeftOut(String),
}

/// An import under way: the ids of the predecessor and what they are here.
struct Import<'i> {
    tx: &'i mut Tx,
    admin: &'i Administrator,
    target: &'i ImportTarget,
    report: ImportReport,
    teams: HashMap<String, TeamId>,
    users: HashMap<String, UserId>,
    /// Requesters by e-mail address, subject and client id.
    requesters: HashMap<String, Requester>,
}

impl Operations<'_> {
    /// Imports the predecessor's database. Rows that are here already stay as they are, so the import may be repeated, also
    /// after the predecessor has gone on. A dry run makes the same changes and rolls them back.
    ///
    /// # Errors
    /// `validation_failed` if the tables are not those of a release that this one knows; database errors.
    pub async fn import_predecessor(
        &self,
        admin: &Administrator,
        from: &mut Predecessor,
        target: &ImportTarget,
        adoption: Adoption,
    ) -> Result<ImportReport> {
        check_schema(&from.differences().await?)?;
        let (teams, users, members) = (from.teams().await?, from.users().await?, from.members().await?);
        let (clients, runners) = (from.clients().await?, from.live_runners().await?);
        let mut tx = self.store.begin().await?;
        tx.installations().ensure(std::slice::from_ref(&target.installation)).await?;
        let mut import = Import {
            tx: &mut tx,
            admin,
            target,
            report: ImportReport { source: from.source().to_owned(), ..ImportReport::default() },
            teams: HashMap::new(),
            users: HashMap::new(),
            requesters: HashMap::new(),
        };
        import.add_teams(&teams).await?;
        import.add_users(&users).await?;
        import.add_members(&members).await?;
        import.add_clients(&clients).await?;
        import.add_runners(&runners).await?;
        let reached = import.add_audit_rows(from).await?;
        let report = import.report;
        if report.kinds.iter().any(|kind| kind.added > 0) {
            let counts: serde_json::Map<_, _> =
                report.kinds.iter().map(|kind| (kind.kind.to_owned(), json!(kind.added))).collect();
            let details = json!({ "source": report.source, "audit_reached": reached, "added": counts });
            tx.audit().write(&admin.record("predecessor.import", None, details)).await?;
        }
        if adoption == Adoption::Keep {
            tx.commit().await?;
        }
        Ok(report)
    }
}

impl Import<'_> {
    /// Adds the outcomes of one kind to the report.
    fn count(&mut self, kind: &'static str, outcomes: Vec<Outcome>) {
        let mut counts = ImportedKind { kind, added: 0, kept: 0, left_out: 0 };
        for outcome in outcomes {
            match outcome {
                Outcome::Added => counts.added += 1,
                Outcome::Kept => counts.kept += 1,
                Outcome::LeftOut(why) => {
                    counts.left_out += 1;
                    self.note(why);
                }
            }
        }
        self.report.kinds.push(counts);
    }

    fn note(&mut self, sentence: String) {
        if self.report.notes.len() < MAX_NOTES {
            self.report.notes.push(sentence);
        } else {
            self.report.more_notes += 1;
        }
    }
}

/// Refuses tables of a release that this one does not know, since rows could lose their meaning.
fn check_schema(differences: &[SchemaDifference]) -> Result<()> {
    let Some(first) = differences.first() else { return Ok(()) };
    let what = match first {
        SchemaDifference::NoTable(table) => format!("it has no table `{table}`"),
        SchemaDifference::NoColumn(table, column) => format!("its table `{table}` has no column `{column}`"),
        SchemaDifference::UnknownColumn(table, column) => {
            format!("its table `{table}` has the column `{column}`, which this release does not know")
        }
    };
    let detail = format!(
        "This database is not one of a release of the predecessor that can be imported: {what}. Bring it to release 0.0.6 \
         of the predecessor first; nothing was changed."
    );
    Err(Problem::new(ProblemCode::ValidationFailed, detail).into())
}
