//! Tests of the queue against a real Redis (`TEST_REDIS_URL`), with a namespace for each test.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test")]

mod accounts;
mod announcements;
mod breaker;
mod buckets;
mod budget;
mod clock;
mod failover;
mod faults;
mod forecasts;
mod leases;
mod model;
mod newer;
mod order;
mod pauses;
mod pools;
mod probes;
mod settings;
mod shared;
mod support;
mod teams;
mod test_worker;
mod windows;
mod worker;
