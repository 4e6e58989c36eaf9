//! Positions of jobs and depths of lanes.

use std::time::Duration;

use domain::{InstallationId, JobId, Lane};

use crate::{Pause, Queue, QueueError, forecast, readable::readable, scripts};

/// State of a job in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobPlace {
    /// It may start, after the jobs of its lane with a lower rank and perhaps a few overdue ones.
    Ready {
        /// Jobs of the lane with a lower rank.
        ahead: u64,
    },
    /// It may not start yet.
    Delayed {
        /// Time until it may start.
        due_in: Duration,
    },
    /// A worker holds it.
    Leased,
}

/// Position of a job, with its pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePosition {
    /// State of the job.
    pub place: JobPlace,
    /// The longest pause of its installation or lane, otherwise the wait for GitHub's limits, if any.
    pub pause: Option<Pause>,
    /// Estimated time until the start, as [`crate::Forecast::starts_in`]; zero if a worker holds it.
    pub starts_in: Duration,
}

/// Depth and age of one lane of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStats {
    /// The installation.
    pub installation: InstallationId,
    /// The lane.
    pub lane: Lane,
    /// Jobs that may start.
    pub waiting: u64,
    /// Jobs that may not start yet.
    pub delayed: u64,
    /// Jobs that workers hold.
    pub running: u64,
    /// Time since the oldest waiting job was accepted; zero without one.
    pub oldest_age: Duration,
}

impl LaneStats {
    /// Returns the statistics of an empty lane.
    pub fn empty(installation: InstallationId, lane: Lane) -> Self {
        Self { installation, lane, waiting: 0, delayed: 0, running: 0, oldest_age: Duration::ZERO }
    }
}

/// Statistics of the queue: three rows for every installation with jobs (at most 1,000 of them).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// One row per installation and lane.
    pub lanes: Vec<LaneStats>,
}

impl Queue {
    /// Returns the position of a job; `None` if the queue does not hold it.
    pub async fn position(&self, job: JobId) -> Result<Option<QueuePosition>, QueueError> {
        let mut args = vec![job.to_string()];
        args.extend(forecast::shares());
        let Some((place, number, starts_in, why, left)) =
            self.run::<Option<(String, u64, u64, String, u64)>>(&scripts::POSITION, &args).await?
        else {
            return Ok(None);
        };
        let place = match place.as_str() {
            "r" => JobPlace::Ready { ahead: number },
            "d" => JobPlace::Delayed { due_in: Duration::from_millis(number) },
            "l" => JobPlace::Leased,
            _ => return Err(QueueError::Unexpected("a place")),
        };
        let pause = forecast::pause(&why, left);
        Ok(Some(QueuePosition { place, pause, starts_in: Duration::from_millis(starts_in) }))
    }

    /// Returns depth and oldest age of every lane.
    pub async fn stats(&self) -> Result<Stats, QueueError> {
        let rows: Vec<(String, String, u64, u64, u64, u64)> = self.run(&scripts::STATS, &[]).await?;
        let read =
            |(installation, lane, waiting, delayed, running, age): (String, String, u64, u64, u64, u64)| {
                Ok(LaneStats {
                    installation: installation
                        .parse()
                        .map_err(|_| QueueError::Unexpected("an installation"))?,
                    lane: lane.parse().map_err(|_| QueueError::Unexpected("a lane"))?,
                    waiting,
                    delayed,
                    running,
                    oldest_age: Duration::from_millis(age),
                })
            };
        Ok(Stats { lanes: readable(rows.into_iter().map(read)) })
    }

    /// Returns those of the given jobs that the queue does not hold.
    pub async fn unknown(&self, jobs: &[JobId]) -> Result<Vec<JobId>, QueueError> {
        self.in_place(jobs, "-").await
    }

    /// Returns those of the given jobs that a worker holds.
    pub async fn leased(&self, jobs: &[JobId]) -> Result<Vec<JobId>, QueueError> {
        self.in_place(jobs, "l").await
    }

    async fn in_place(&self, jobs: &[JobId], wanted: &str) -> Result<Vec<JobId>, QueueError> {
        let mut found = Vec::new();
        for batch in jobs.chunks(500) {
            let args: Vec<String> = batch.iter().map(JobId::to_string).collect();
            let places: Vec<String> = self.run(&scripts::PLACES, &args).await?;
            found.extend(batch.iter().zip(places).filter(|(_, place)| place == wanted).map(|(job, _)| *job));
        }
        Ok(found)
    }
}
