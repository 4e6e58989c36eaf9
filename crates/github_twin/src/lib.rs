//! A faithful simulation of GitHub's self-hosted runner API, for development and tests.
//!
//! The twin responds like GitHub, status by status and field by field: App JWTs and expiring installation tokens, JIT
//! configs, runners, labels, groups, paging with `link`, `ETag`s per token, unique names, busy runners that cannot be
//! deleted, every documented rate limit with its headers, signed webhooks with redelivery. It records each request and
//! each violation of GitHub's rules in its [`Ledger`]. Tests can configure faults: latency, server errors, limits,
//! responses lost before or after the effect, runners that shift between pages. They can also move its clock, so
//! that no test has to sleep.
//!
//! The twin is independent of this service: use it to test any tool that manages runners through GitHub's API.
//!
//! # In a test
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use github_twin::{Fault, FaultKind, Twin, TwinConfig};
//! let twin = Twin::start(TwinConfig::default()).await.unwrap();
//! // Point the tool at twin.url() with the key twin.app_key().unwrap().private_pem(), then:
//! twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::EffectThenDrop));
//! assert!(twin.ledger().violations.is_empty());
//! # });
//! ```
//!
//! # From the outside
//! `cargo run -p github_twin --example twin -- --port 4010 --control-port 4011 --app-key app-key.pem` serves the API on
//! port 4010 and the control port on 4011, and writes the App's private key to `app-key.pem`. `--help` lists further
//! options: webhooks, personal tokens, enterprises, runner groups, more organisations, a base path. With an App JWT in
//! `$JWT`:
//! ```sh
//! TOKEN=$(curl -sX POST -H "Authorization: Bearer $JWT" \
//!     localhost:4010/app/installations/5151515/access_tokens | jq -r .token)
//! curl -sX POST -H "Authorization: Bearer $TOKEN" localhost:4010/orgs/acme/actions/runners/generate-jitconfig \
//!     -d '{"name":"r1","runner_group_id":1,"labels":["self-hosted","gpu"]}'
//! curl -s -H "Authorization: Bearer $TOKEN" 'localhost:4010/orgs/acme/actions/runners?per_page=100'
//!
//! # The runner goes online, takes a job, finishes it.
//! json='Content-Type: application/json'
//! curl -s localhost:4011/runners
//! curl -sX PATCH localhost:4011/runners/1 -H "$json" -d '{"status":"online"}'
//! curl -sX POST  localhost:4011/jobs -H "$json" -d '{"repository":"acme/web","labels":["gpu"]}'
//! curl -sX POST  localhost:4011/jobs/2/start -H "$json" -d '{"runner":1}'
//! curl -sX POST  localhost:4011/jobs/2/complete -H "$json" -d '{"conclusion":"success"}'
//!
//! # The next JIT call creates the runner, but its response is lost; then GitHub demands a pause.
//! curl -sX POST localhost:4011/faults -H "$json" \
//!     -d '{"method":"POST","path":"generate-jitconfig","times":1,"kind":"effect_then_drop"}'
//! curl -sX POST localhost:4011/faults -H "$json" \
//!     -d '{"times":1,"kind":"secondary_limit","status":429,"retry_after":60}'
//! curl -sX POST localhost:4011/clock/advance -H "$json" -d '{"seconds":60}'
//! curl -s localhost:4011/ledger/summary
//! ```
//! Faults by `kind`: `latency` and `slow_drip` (`ms`, `bytes`), `status`, `primary_limit` (`status`, `reset_in`),
//! `secondary_limit` (`status`, `retry_after`), `drop`, `effect_then_drop`, `late_effect` (`ms`),
//! `effect_then_status` (`status`), `effect_then_patch` (`patch`: a JSON merge patch of the response), `unavailable`
//! (`status`, `retry_after`), `answer` (`status`, `headers`, `body`), `page_slip` (`by`, `agree`), `token_expired`.
//! Conditions of each: `method`, `path` (part of the path template), `skip`, `times`, `percent`.

mod answer;
mod auth;
mod clock;
mod commands;
mod config;
mod control;
mod faults;
mod groups;
mod jitblob;
mod jobs;
mod keys;
mod ledger;
mod limits;
mod perform;
mod permit;
mod pipeline;
mod rate_limits;
mod repositories;
mod routes;
mod state;
mod twin;
mod views;
mod webhooks;
mod write;

pub use dev_http::keys::KeyError;

pub use crate::{
    commands::{Commands, RunnerChange, RunnerSpec},
    config::{MoreApp, PersonalToken, TwinConfig, WebhookConfig},
    faults::{ActiveFault, Fault, FaultKind},
    jitblob::needles,
    jobs::{Conclusion, ControlError, Job, JobRunner, JobStatus},
    keys::AppKey,
    ledger::{Entry, Ledger, Summary, Violation, ViolationKind},
    limits::{Bucket, Limits},
    state::{Deprecation, Label, LabelKind, Runner, RunnerStatus},
    twin::Twin,
    webhooks::{Delivery, signature},
};
