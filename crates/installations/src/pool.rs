//! App pools: several Apps or tokens for one organization, each with a budget of its own.
//!
//! A pool has the id of its first installation, and rows and jobs carry that id. A runner belongs to the organization,
//! so every App of its pool may look it up and remove it.

use std::sync::Arc;

use domain::InstallationId;
use github::GitHub;
use queue::{Paused, PrepaidRequest, Queue, QueueError, Reason, Scope};

use crate::{
    Client, Installations,
    prepaid::{ClaimedJob, JobGate, PrepaidCall},
};

/// Client of a claimed job.
#[derive(Debug)]
pub struct JobClient {
    /// Installation that sends the requests.
    pub app: InstallationId,
    /// Its client.
    pub github: GitHub,
    /// Whether it stands in for the App that the claim chose, whose credential this process lacks.
    pub stands_in: bool,
}

impl Installations {
    /// Returns the client of a claimed job of a pool, whose first request to the endpoint of its lane was paid for by
    /// the claim from the budget of `paid_by`. `prepaid` records whether that request was sent. Without a credential
    /// for `paid_by`, the client is that of another App of the pool, which pays anew: of one that no pause stops, if
    /// there is one. Returns `None` if this process has no credential for the pool.
    pub async fn client_for_job(
        &self,
        pool: &InstallationId,
        paid_by: &InstallationId,
        job: ClaimedJob,
        prepaid: PrepaidRequest,
    ) -> Option<JobClient> {
        let paid = self.0.by_id.get_key_value(paid_by).filter(|(_, client)| client.pool == *pool);
        let (app, client) = match paid {
            Some(paid) => paid,
            None => self.0.by_id.get_key_value(self.stand_in(pool).await?)?,
        };
        let call = PrepaidCall::new(job, prepaid, paid.is_some());
        let gate = JobGate::new(client.gate.clone(), call);
        let github = client.github.with_gate(Arc::new(gate));
        Some(JobClient { app: app.clone(), github, stands_in: paid.is_none() })
    }

    /// Returns the first App of the pool that no pause stops, or else its first App.
    async fn stand_in<'i>(&'i self, pool: &InstallationId) -> Option<&'i InstallationId> {
        let first = self.0.pools.get(pool)?.first()?;
        let queue = self.0.by_id.get(first)?.gate.queue();
        // Without Redis the gate in front of GitHub decides.
        let usable = self.usable_app(queue, pool, &[]).await.ok().flatten();
        Some(usable.map_or(first, |(app, _)| app))
    }

    /// Returns all pools this process has a credential for; an installation that is alone is a pool of one.
    pub fn pools(&self) -> impl Iterator<Item = &InstallationId> {
        self.0.pools.keys()
    }

    /// Returns whether this process has a credential for the pool.
    pub fn has_pool(&self, pool: &InstallationId) -> bool {
        self.0.pools.contains_key(pool)
    }

    /// Returns the pool of an installation; itself if this process does not know it.
    pub fn pool_of<'i>(&'i self, app: &'i InstallationId) -> &'i InstallationId {
        self.0.by_id.get(app).map_or(app, |client| &client.pool)
    }

    /// Returns the first App of the pool that no pause stops, except those in `but`: a request for the organization may
    /// go through any of them. `None` if there is none, or an administrator has paused the pool.
    ///
    /// # Errors
    /// [`QueueError`] if Redis cannot be reached.
    pub async fn usable_app(
        &self,
        queue: &Queue,
        pool: &InstallationId,
        but: &[InstallationId],
    ) -> Result<Option<(&InstallationId, &GitHub)>, QueueError> {
        let pauses = queue.pauses().await?;
        Ok(self.usable_apps(pool, &pauses).find(|(app, _)| !but.contains(app)))
    }

    /// Returns the pools without a usable App.
    ///
    /// # Errors
    /// [`QueueError`] if Redis cannot be reached.
    pub async fn stopped_pools(&self, queue: &Queue) -> Result<Vec<InstallationId>, QueueError> {
        let pauses = queue.pauses().await?;
        let stopped = self.pools().filter(|pool| self.usable_apps(pool, &pauses).next().is_none());
        Ok(stopped.cloned().collect())
    }

    fn usable_apps<'i>(
        &'i self,
        pool: &InstallationId,
        pauses: &[Paused],
    ) -> impl Iterator<Item = (&'i InstallationId, &'i GitHub)> {
        let is_stopped = |app: &InstallationId, admin: bool| {
            pauses.iter().any(|one| {
                matches!(&one.scope, Scope::Installation(name) if name == app)
                    && (!admin || one.pause.reason == Reason::Admin)
            })
        };
        let whole = is_stopped(pool, true);
        let apps = self.0.pools.get(pool).into_iter().flatten().filter(|_| !whole);
        let usable = |app: &&InstallationId| !is_stopped(app, false);
        let usable: Vec<_> = apps.filter(usable).collect();
        let client = |app| self.0.by_id.get_key_value(app);
        usable.into_iter().filter_map(client).map(|(app, client): (_, &Client)| (app, &client.github))
    }
}
