//! Sections of the benchmark, in their order.

use crate::{
    accepting, apply, budget, churn, claims, environment::Environment, fairness, http_load::PostRequests,
    idle, large_lists, lists, pickup, pool, provision_command, recovery, report::Report, scale::Scale, sync,
    tabs, takeover, throughput, time_to_config, waiting, webhooks,
};

/// A section of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Section {
    /// Requests of an idle worker to the stores. First, because Redis counts the commands of all clients.
    Idle,
    /// Requests accepted, beside a bare insert.
    Accept,
    /// Requests accepted beside twelve callers who read long lists, against alone.
    Lists,
    /// From the queue to an idle worker, beside a bare push and pop.
    Pickup,
    /// The claim script, with few jobs waiting and with many.
    Claims,
    /// A flood of one team beside two small teams.
    Fairness,
    /// Share of GitHub's limits that is used.
    Budget,
    /// Several Apps of one organisation, many installations, and many idle workers. Measured only when it is named.
    Pool,
    /// Throughput and memory of thousands of jobs, and single jobs on an idle system.
    Jobs,
    /// Start of the users' program, and time from a typed `rts provision` to its started child.
    Provision,
    /// Downtime after a worker or Redis was killed.
    Recovery,
    /// Downtime after the leading scheduler was killed.
    Lead,
    /// Webhooks accepted.
    Webhooks,
    /// Cost of waiting long polls and event streams.
    Waiting,
    /// Cost of 200 live tabs of the dashboard, beside one.
    Tabs,
    /// A sync run over 10,000 runners.
    Sync,
    /// GitHub requests an hour for 1,000 and for 10,000 runners that come and go.
    Churn,
    /// Plan and application of a thousand teams.
    Apply,
    /// Each list and page of a large installation, and an export of its audit log. Its rows take ten minutes to make.
    /// Measured only when it is named.
    LargeLists,
}

impl Section {
    /// Returns what is being measured, for the progress output.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Accept => "accepting, beside a bare insert",
            Self::Lists => "accepting beside long lists",
            Self::Pickup => "picking up, beside a bare push and pop",
            Self::Claims => "claiming, with few waiting and with many",
            Self::Fairness => "a flood of one team beside two small teams",
            Self::Budget => "using up GitHub's limits",
            Self::Pool => "several Apps, many installations, many workers",
            Self::Jobs => "running jobs, many and single ones",
            Self::Provision => "typing `rts provision`",
            Self::Idle => "an idle worker",
            Self::Recovery => "killing workers, then Redis",
            Self::Lead => "killing the leader",
            Self::Webhooks => "accepting webhooks",
            Self::Waiting => "a thousand waiting callers",
            Self::Tabs => "200 live tabs of the dashboard",
            Self::Sync => "comparing 10,000 runners",
            Self::Churn => "comparing runners that come and go",
            Self::Apply => "applying a thousand teams",
            Self::LargeLists => "lists and pages of a large installation",
        }
    }

    /// Measures the section and adds its rows to the report.
    pub(crate) async fn measure(
        self,
        environment: &Environment,
        scale: Scale,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        match self {
            Self::Accept => accepting::measure(environment, scale, report).await,
            Self::Lists => lists::measure(environment, scale, report).await,
            Self::Pickup => pickup::measure(environment, scale, report).await,
            Self::Claims => claims::measure(environment, scale, report).await,
            Self::Fairness => fairness::measure(environment, scale, report).await,
            Self::Budget => budget::measure(environment, scale, report).await,
            Self::Pool => pool::measure(environment, scale, report).await,
            Self::Jobs => measure_jobs(environment, scale, report).await,
            Self::Provision => provision_command::measure(environment, scale, report).await,
            Self::Idle => idle::measure(environment, scale, report).await,
            Self::Recovery => recovery::measure(environment, scale, report).await,
            Self::Lead => takeover::measure(environment, scale, report).await,
            Self::Webhooks => webhooks::measure(environment, scale, report).await,
            Self::Waiting => waiting::measure(environment, report).await,
            Self::Tabs => tabs::measure(environment, report).await,
            Self::Sync => sync::measure(environment, scale, report).await,
            Self::Churn => churn::measure(environment, scale, report).await,
            Self::Apply => apply::measure(environment, scale, report).await,
            Self::LargeLists => large_lists::measure(environment, scale, report).await,
        }
    }
}

async fn measure_jobs(environment: &Environment, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let deployment = environment.deployment("whole", 2)?;
    let mut api = deployment.start_api().await?;
    let mut worker = deployment.start_worker()?;
    worker.wait_for("working").await?;
    let (address, tokens) = (api.address().await?, deployment.create_callers().await?);
    let requests = PostRequests::provision(&address, &tokens);
    let processes = throughput::Processes { api: &api, worker: &worker };
    throughput::measure(&deployment, processes, &requests, scale, report).await?;
    time_to_config::measure(&address, &tokens, scale, report).await?;
    api.stop().await?;
    worker.stop().await
}
