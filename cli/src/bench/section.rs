//! Sections of the benchmark, in their order.

use super::{
    Scale, accept, budget, churn, claims, fairness, idle, lead, lists, memory, pickup, ready, recovery,
    report::Report, sync, waiting, webhooks, world::World,
};

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Section {
    /// What a worker without work asks of the stores. First: Redis counts what all clients ask.
    Idle,
    /// Requests accepted, beside a bare insert.
    Accept,
    /// Requests accepted beside twelve callers who read long lists, against alone.
    Lists,
    /// From the queue to an idle worker, beside a bare push and pop.
    Pickup,
    /// The claim script, with few jobs waiting and with many.
    Claims,
    /// A flood of one team beside two small ones.
    Fairness,
    /// How much of GitHub's limits is used.
    Budget,
    /// Thousands of jobs, the memory they take, and single ones on an idle system.
    Jobs,
    /// Work stands still while something is killed.
    Recovery,
    /// The leading scheduler is killed.
    Lead,
    /// Webhooks are taken.
    Webhooks,
    /// Long polls and event streams wait.
    Waiting,
    /// A pass over 10,000 runners.
    Sync,
    /// What GitHub is asked in an hour for 1,000 and for 10,000 runners that come and go.
    Churn,
}

impl Section {
    /// What is under way, for people.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Accept => "accepting, beside a bare insert",
            Self::Lists => "accepting beside long lists",
            Self::Pickup => "picking up, beside a bare push and pop",
            Self::Claims => "claiming, with few waiting and with many",
            Self::Fairness => "a flood of one team beside two small ones",
            Self::Budget => "using up GitHub's limits",
            Self::Jobs => "running jobs, many and single ones",
            Self::Idle => "doing nothing",
            Self::Recovery => "killing workers, then Redis",
            Self::Lead => "killing the leader",
            Self::Webhooks => "taking webhooks",
            Self::Waiting => "letting a thousand callers wait",
            Self::Sync => "comparing 10,000 runners",
            Self::Churn => "comparing runners that come and go",
        }
    }

    pub(super) async fn measure(
        self,
        world: &World,
        scale: Scale,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        match self {
            Self::Accept => accept::measure(world, scale, report).await,
            Self::Lists => lists::measure(world, scale, report).await,
            Self::Pickup => pickup::measure(world, scale, report).await,
            Self::Claims => claims::measure(world, scale, report).await,
            Self::Fairness => fairness::measure(world, scale, report).await,
            Self::Budget => budget::measure(world, scale, report).await,
            Self::Jobs => jobs(world, scale, report).await,
            Self::Idle => idle::measure(world, scale, report).await,
            Self::Recovery => recovery::measure(world, scale, report).await,
            Self::Lead => lead::measure(world, scale, report).await,
            Self::Webhooks => webhooks::measure(world, scale, report).await,
            Self::Waiting => waiting::measure(world, report).await,
            Self::Sync => sync::measure(world, scale, report).await,
            Self::Churn => churn::measure(world, scale, report).await,
        }
    }
}

async fn jobs(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let site = world.site("whole", 2)?;
    let mut api = site.api().await?;
    let mut worker = site.worker()?;
    worker.wait_for("working").await?;
    let (address, callers) = (api.address().await?, site.callers().await?);
    let requests = super::load::Ask::provision(&address, &callers);
    memory::measure(&site, [&api, &worker], &requests, scale, report).await?;
    ready::measure(&address, &callers, scale, report).await?;
    api.stop().await?;
    worker.stop().await
}
