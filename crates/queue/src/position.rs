//! What the queue can say of itself.

use std::time::Duration;

use domain::{InstallationId, JobId, Lane};

use crate::{Pause, Queue, QueueError, forecast, readable::readable, scripts};

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobPlace {
    /// It may start; so many of its lane go first (a few overdue ones not counted).
    Ready {
        /// Jobs of the same lane with a lower rank.
        ahead: u64,
    },
    /// It may not start yet.
    Delayed {
        /// Until then.
        due_in: Duration,
    },
    /// A worker holds it.
    Leased,
}

/// Where a job is and what holds it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePosition {
    /// Where.
    pub place: JobPlace,
    /// The longest pause of its installation or lane, else what GitHub's limits lack for the next job, if anything.
    pub pause: Option<Pause>,
    /// When it starts if every lane takes its share, as [`crate::Forecast::starts_in`]; zero when a worker holds it.
    pub starts_in: Duration,
}

/// One lane of one installation.
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
    /// Jobs workers hold.
    pub running: u64,
    /// Time since the oldest waiting job was accepted; zero without one.
    pub oldest_age: Duration,
}

impl LaneStats {
    /// A lane that holds nothing.
    pub fn empty(installation: InstallationId, lane: Lane) -> Self {
        Self { installation, lane, waiting: 0, delayed: 0, running: 0, oldest_age: Duration::ZERO }
    }
}

/// The whole queue: three rows for every installation that holds anything (at most 1,000 of them).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// One row per installation and lane.
    pub lanes: Vec<LaneStats>,
}

impl Queue {
    /// Where one job stands; none if the queue does not hold it.
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

    /// Depth and oldest age of every lane.
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

    /// Which of these jobs the queue does not hold.
    pub async fn unknown(&self, jobs: &[JobId]) -> Result<Vec<JobId>, QueueError> {
        self.in_place(jobs, "-").await
    }

    /// Which of these jobs a worker holds.
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
