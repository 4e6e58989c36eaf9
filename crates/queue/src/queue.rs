//! The typed calls of the scripts that move jobs.

use std::{sync::Arc, time::Duration};

use domain::{JobId, Lane};
use redis::{FromRedisValue, Script, cmd};
use uuid::Uuid;

use crate::{
    Cancelled, Claim, Claimer, Lease, LeaseToken, QueueConfig, QueueError, Settle, Ticket, address::Address,
    backend::Ack, connection::Link, finder::Finder, lease::LeaseRow, readable, scripts,
};

/// Most jobs in one script call.
const MAX_BATCH: usize = 200;
/// Most installations that one claim considers.
const MAX_INSTALLATIONS: u16 = 1000;

/// Handle of the queue. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    link: Link,
    prefix: String,
    longest_wait: Duration,
    installations_per_claim: u16,
}

impl Queue {
    /// Returns a handle. It connects on first use, so a process can start while Redis is down.
    ///
    /// # Errors
    /// [`QueueError::BadUrl`] or [`QueueError::BadNamespace`].
    pub fn connect(config: &QueueConfig) -> Result<Self, QueueError> {
        let prefix = config.prefix()?;
        let address = Address::parse(&config.url, config.roots.as_deref())?;
        let finder = Finder::new(address, prefix.clone(), config.password.clone());
        Ok(Self(Arc::new(Inner {
            link: Link::new(finder, config.call_timeout),
            prefix,
            longest_wait: config.longest_wait,
            installations_per_claim: config.installations_per_claim.clamp(1, MAX_INSTALLATIONS),
        })))
    }

    /// Enqueues jobs and wakes one worker. A job that the queue holds already stays unchanged, or moves to the front of
    /// its lane if it has become urgent. Returns the number of new jobs.
    pub async fn enqueue(&self, tickets: &[Ticket]) -> Result<usize, QueueError> {
        let mut placed = 0;
        for batch in tickets.chunks(MAX_BATCH) {
            let args: Vec<String> = batch.iter().flat_map(Ticket::args).collect();
            placed += self.run::<usize>(&scripts::ENQUEUE, &args).await?;
        }
        Ok(placed)
    }

    /// Leases up to `want` jobs (1 to 100). After an error, the claimer's next claim first retrieves the lost result.
    pub async fn claim(&self, claimer: &Claimer, want: usize) -> Result<Claim, QueueError> {
        let mut request = claimer.request.lock().await;
        let token = LeaseToken(format!("{}.{}", claimer.name(), *request).into());
        let mut args = vec![
            claimer.name().to_owned(),
            request.to_string(),
            want.clamp(1, 100).to_string(),
            millis(claimer.lease).max(1).to_string(),
            millis(self.0.longest_wait).to_string(),
            self.0.installations_per_claim.to_string(),
        ];
        args.extend(Lane::ALL.iter().map(|lane| lane.share().to_string()));
        let (pause, rows, put_off): (u64, Vec<LeaseRow>, u64) = self.run(&scripts::CLAIM, &args).await?;
        if put_off > 0 {
            readable::report(&QueueError::Unexpected("a job"), put_off);
        }
        *request += 1;
        let jobs = readable::readable(rows.into_iter().map(|row| Lease::read(row, &token)));
        Ok(Claim { jobs, wait: Duration::from_millis(pause) })
    }

    /// Renews leases and returns the jobs that we no longer own. A lease that Redis does not know is restored, so never
    /// extend a lease after settling it.
    pub async fn extend(&self, leases: &[&Lease], lease: Duration) -> Result<Vec<JobId>, QueueError> {
        let mut lost = Vec::new();
        for batch in leases.chunks(MAX_BATCH) {
            let mut args = vec![millis(lease).max(1).to_string()];
            args.extend(batch.iter().flat_map(|lease| lease.args()));
            let ids: Vec<String> = self.run(&scripts::EXTEND, &args).await?;
            for id in ids {
                lost.push(id.parse().map_err(|_| QueueError::Unexpected("a job id"))?);
            }
        }
        Ok(lost)
    }

    /// Removes a finished job. Returns false if we no longer own the lease.
    pub async fn finish(&self, lease: &Lease) -> Result<bool, QueueError> {
        self.settle_one(lease, Settle::Finish).await
    }

    /// Starts the job again after the delay, with its old rank. Returns false if we no longer own the lease.
    pub async fn snooze(&self, lease: &Lease, delay: Duration) -> Result<bool, QueueError> {
        self.settle_one(lease, Settle::Snooze(delay)).await
    }

    /// Starts the job again at once, with its old rank. Returns false if we no longer own the lease.
    pub async fn release(&self, lease: &Lease) -> Result<bool, QueueError> {
        self.settle_one(lease, Settle::Release).await
    }

    /// Ends many leases. Returns one result each, in order: false if we no longer own the lease.
    pub async fn settle(&self, ends: &[(Lease, Settle)]) -> Result<Vec<bool>, QueueError> {
        let ends: Vec<Ack> = ends.iter().map(|(lease, end)| Ack::new(lease.clone(), *end)).collect();
        self.settle_all(&ends).await
    }

    /// Ends the lease of a job that did not send its prepaid request; the budget gets its cost back. Returns false if
    /// we no longer own the lease.
    pub async fn settle_unsent(&self, lease: &Lease, end: Settle) -> Result<bool, QueueError> {
        let ack = Ack { unsent: true, ..Ack::new(lease.clone(), end) };
        Ok(self.settle_all(&[ack]).await?.first().copied().unwrap_or(false))
    }

    pub(crate) async fn settle_all(&self, ends: &[Ack]) -> Result<Vec<bool>, QueueError> {
        let mut answers = Vec::with_capacity(ends.len());
        for batch in ends.chunks(MAX_BATCH) {
            let args: Vec<String> = batch
                .iter()
                .flat_map(|Ack { lease, end, unsent }| {
                    let delay = millis(end.delay()).to_string();
                    let unsent = u8::from(*unsent).to_string();
                    [lease.job.to_string(), lease.token.0.to_string(), end.as_str().to_owned(), delay, unsent]
                })
                .collect();
            answers.extend(self.run::<Vec<bool>>(&scripts::SETTLE, &args).await?);
        }
        Ok(answers)
    }

    async fn settle_one(&self, lease: &Lease, end: Settle) -> Result<bool, QueueError> {
        Ok(self.settle(&[(lease.clone(), end)]).await?.first().copied().unwrap_or(false))
    }

    /// Removes a job unless a worker holds it.
    pub async fn cancel(&self, job: JobId) -> Result<Cancelled, QueueError> {
        match self.run::<String>(&scripts::CANCEL, &[job.to_string()]).await?.as_str() {
            "removed" => Ok(Cancelled::Removed),
            "leased" => Ok(Cancelled::Leased),
            "unknown" => Ok(Cancelled::Unknown),
            _ => Err(QueueError::Unexpected("an answer to cancel")),
        }
    }

    /// Wakes one waiting worker.
    pub async fn wake_one(&self) -> Result<(), QueueError> {
        self.run::<u8>(&scripts::WAKE, &[]).await.map(drop)
    }

    /// Returns the epoch, the mark of the last complete refill. `None` means that Redis has lost its data since.
    pub async fn epoch(&self) -> Result<Option<String>, QueueError> {
        self.0.link.command(cmd("GET").arg(self.key("epoch"))).await
    }

    /// Sets the epoch unless one exists. Must be called after all missing jobs were enqueued again.
    pub async fn mark_epoch(&self) -> Result<(), QueueError> {
        let mark = Uuid::new_v4().to_string();
        let mut set = cmd("SET");
        set.arg(self.key("epoch")).arg(mark).arg("NX");
        self.0.link.command::<Option<String>>(&set).await.map(drop)
    }

    /// Proves that Redis accepts writes. A server that refuses every job would still respond to `PING`.
    pub async fn ping(&self) -> Result<(), QueueError> {
        self.run::<u8>(&scripts::READY, &[]).await.map(drop)
    }

    /// Returns the time since this process first got no answer; `None` while Redis answers.
    pub fn unanswered_for(&self) -> Option<Duration> {
        self.0.link.unanswered_for()
    }

    /// Notifies every process that a job has changed. `state` is one word.
    pub async fn announce(&self, job: JobId, state: &str) -> Result<(), QueueError> {
        self.publish(&format!("{job} {state}")).await
    }

    /// Notifies every process that the rights of a user, a machine client or a team have changed, so that streams and
    /// waiting requests check them again. `subject` is its id.
    pub async fn announce_access(&self, subject: &str) -> Result<(), QueueError> {
        self.publish(&format!("access {subject}")).await
    }

    pub(crate) async fn publish(&self, text: &str) -> Result<(), QueueError> {
        let mut publish = cmd("PUBLISH");
        publish.arg(self.key("news")).arg(text);
        self.0.link.command::<u64>(&publish).await.map(drop)
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.0.prefix)
    }

    pub(crate) fn link(&self) -> &Link {
        &self.0.link
    }

    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &'static Script,
        args: &[String],
    ) -> Result<T, QueueError> {
        let mut call = script.key(self.0.prefix.as_str());
        call.arg(args);
        self.0.link.script(&call).await
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Queue").field(&self.0.prefix).finish()
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
