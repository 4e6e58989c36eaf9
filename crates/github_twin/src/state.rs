//! State of the twin: one value behind one mutex, which is never held across an await.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    clock::{Clock, delta},
    config::{TwinConfig, WebhookConfig},
    faults::Faults,
    groups::Group,
    jobs::Job,
    ledger::Ledger,
    rate_limits::RateLimits,
    repositories::Repository,
    routes::Call,
    webhooks::{Delivery, Outgoing},
};

/// Labels that GitHub marks as assigned by the system.
const SYSTEM_LABELS: [&str; 9] =
    ["self-hosted", "linux", "windows", "macos", "x64", "x86", "arm", "arm64", "osx"];

/// Most runners of one group (GitHub's documented maximum).
const MAX_RUNNERS: usize = 10_000;

/// Connection state of a runner's machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunnerStatus {
    /// Connected.
    Online,
    /// Not connected, or never connected.
    Offline,
}

/// Origin of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelKind {
    /// Assigned by the system; cannot be removed.
    ReadOnly,
    /// Assigned by a user.
    Custom,
}

/// A label on a runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Id, unique in this twin.
    pub id: u64,
    /// Name as first written; compared without case.
    pub name: String,
    /// Origin.
    #[serde(rename = "type")]
    pub kind: LabelKind,
}

/// A runner: GitHub's fields and internal ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner {
    /// Id, unique in this twin.
    pub id: u64,
    /// `orgs/<org>`, `repos/<owner>/<repo>` or `enterprises/<slug>`, in lower case.
    pub scope: String,
    /// Name, unique in its scope without case.
    pub name: String,
    /// Operating system; `unknown` until the machine first connects.
    pub os: String,
    /// Connection state.
    pub status: RunnerStatus,
    /// Whether it runs a job.
    pub busy: bool,
    /// Labels, at most 100.
    pub labels: Vec<Label>,
    /// Runner group in the organisation; 1 in repositories.
    pub runner_group_id: u64,
    /// Whether GitHub removes it after one job.
    pub ephemeral: bool,
    /// Version of the runner program, known after the first connection.
    pub version: Option<String>,
    /// Creation time on the twin's clock.
    pub created_at: DateTime<Utc>,
    /// Whether it was ever online.
    pub seen_online: bool,
}

/// Dates until which GitHub accepts a version of the runner program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deprecation {
    /// End of registrations with it.
    pub registration_deprecates_at: DateTime<Utc>,
    /// End of jobs on it.
    pub runtime_deprecates_at: DateTime<Utc>,
}

/// Parameters of a new runner.
#[derive(Clone, Debug)]
pub(crate) struct NewRunner {
    pub(crate) name: String,
    pub(crate) labels: Vec<String>,
    pub(crate) group: u64,
    pub(crate) ephemeral: bool,
}

/// Reason why a runner could not be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotMade {
    Duplicate,
    Full,
}

#[derive(Clone, Debug)]
pub(crate) struct Installation {
    pub(crate) id: u64,
    /// Id of its App.
    pub(crate) app: u64,
    pub(crate) org: String,
    pub(crate) suspended_at: Option<DateTime<Utc>>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) permissions: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) installation: u64,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) permissions: BTreeMap<String, String>,
    /// Ids of the repositories that the token covers; `None` means all.
    pub(crate) repositories: Option<Arc<BTreeSet<u64>>>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Arc<TwinConfig>,
    pub(crate) public_pem: Arc<str>,
    pub(crate) base: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) started: DateTime<Utc>,
    pub(crate) installations: Vec<Installation>,
    /// Repositories by id.
    pub(crate) repositories: BTreeMap<u64, Repository>,
    pub(crate) runners: BTreeMap<u64, Runner>,
    names: HashMap<(String, String), u64>,
    /// Runner groups by scope.
    pub(crate) groups: HashMap<String, Vec<Group>>,
    pub(crate) tokens: HashMap<String, Token>,
    pub(crate) meter: RateLimits,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
    pub(crate) pending: Vec<(DateTime<Utc>, Call)>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    /// Runners that have finished their one job, and their removal times.
    pub(crate) leaving: Vec<(DateTime<Utc>, u64)>,
    /// Current webhook settings.
    pub(crate) webhook: Option<WebhookConfig>,
    pub(crate) deliveries: VecDeque<Delivery>,
    pub(crate) deprecations: BTreeMap<String, Option<Deprecation>>,
    pub(crate) outbox: mpsc::Sender<Outgoing>,
    last_id: u64,
    last_label: u64,
    pub(crate) last_request: u64,
    next_sweep: DateTime<Utc>,
}

impl State {
    pub(crate) fn new(
        config: Arc<TwinConfig>,
        public_pem: Arc<str>,
        base: Arc<str>,
        outbox: mpsc::Sender<Outgoing>,
    ) -> Self {
        let clock = Clock::start();
        let now = clock.now();
        let first = (config.installation_id, config.org.clone());
        let installations = std::iter::once(first).chain(config.more_installations.iter().cloned());
        let others = config.more_apps.iter().map(|one| (one.app_id, (one.installation_id, one.org.clone())));
        let installations: Vec<_> = installations
            .map(|one| (config.app_id, one))
            .chain(others)
            .map(|(app, (id, org))| Installation {
                id,
                app,
                org,
                suspended_at: None,
                updated_at: now,
                permissions: config.permissions.clone(),
            })
            .collect();
        let repositories = installations.iter().flat_map(|i| {
            config.repositories.iter().map(|name| Repository::new(&i.org, name)).map(|r| (r.id, r))
        });
        let repositories = repositories.collect();
        let orgs = installations.iter().map(|i| format!("orgs/{}", i.org.to_lowercase()));
        let enterprises =
            config.enterprises.iter().map(|slug| format!("enterprises/{}", slug.to_lowercase()));
        let groups = orgs.chain(enterprises).map(|scope| (scope, Group::of_config(&config))).collect();
        Self {
            meter: RateLimits::new(config.limits.clone()),
            ledger: Ledger::new(config.ledger_capacity),
            public_pem,
            base,
            clock,
            started: now,
            installations,
            repositories,
            runners: BTreeMap::new(),
            names: HashMap::new(),
            groups,
            tokens: HashMap::new(),
            faults: Faults::default(),
            pending: Vec::new(),
            jobs: BTreeMap::new(),
            leaving: Vec::new(),
            webhook: config.webhook.clone(),
            deliveries: VecDeque::new(),
            deprecations: BTreeMap::new(),
            config,
            outbox,
            last_id: 0,
            last_label: 0,
            last_request: 0,
            next_sweep: now,
        }
    }

    /// Restores the initial state without runners, tokens, faults and entries. The clock and the ids continue.
    pub(crate) fn reset(&mut self) {
        let mut fresh =
            Self::new(self.config.clone(), self.public_pem.clone(), self.base.clone(), self.outbox.clone());
        fresh.clock = self.clock.clone();
        (fresh.last_id, fresh.last_request) = (self.last_id, self.last_request);
        *self = fresh;
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Applies everything that is due: late effects, and the removal of finished or unused runners.
    pub(crate) fn settle(&mut self) {
        let now = self.now();
        while let Some(i) = self.pending.iter().position(|(due, _)| *due <= now) {
            let (_, call) = self.pending.remove(i);
            (call.route.run)(self, &call);
        }
        while let Some(i) = self.leaving.iter().position(|(due, _)| *due <= now) {
            let (_, runner) = self.leaving.remove(i);
            self.remove_runner(runner);
        }
        if now >= self.next_sweep {
            self.next_sweep = now + TimeDelta::seconds(10);
            let oldest = now - delta(self.config.unused_runner_life);
            let unused = |r: &&Runner| r.ephemeral && !r.seen_online && r.created_at < oldest;
            let gone: Vec<u64> = self.runners.values().filter(unused).map(|r| r.id).collect();
            for id in gone {
                self.remove_runner(id);
            }
        }
    }

    pub(crate) fn in_scope<'a>(&'a self, scope: &'a str) -> impl Iterator<Item = &'a Runner> {
        self.runners.values().filter(move |r| r.scope == scope)
    }

    pub(crate) fn by_name(&self, scope: &str, name: &str) -> Option<&Runner> {
        let id = self.names.get(&(scope.to_owned(), name.to_lowercase()))?;
        self.runners.get(id)
    }

    pub(crate) fn add_runner(&mut self, scope: &str, new: NewRunner) -> Result<Runner, NotMade> {
        let key = (scope.to_owned(), new.name.to_lowercase());
        if self.names.contains_key(&key) {
            return Err(NotMade::Duplicate);
        }
        let all = self.runners.len();
        if all >= MAX_RUNNERS * 5 || (all >= MAX_RUNNERS && self.in_scope(scope).count() >= MAX_RUNNERS) {
            return Err(NotMade::Full);
        }
        let mut labels = Vec::new();
        self.add_labels(&mut labels, &new.labels);
        let runner = Runner {
            id: self.next_id(),
            scope: scope.to_owned(),
            name: new.name,
            os: "unknown".into(),
            status: RunnerStatus::Offline,
            busy: false,
            labels,
            runner_group_id: new.group,
            ephemeral: new.ephemeral,
            version: None,
            created_at: self.now(),
            seen_online: false,
        };
        self.names.insert(key, runner.id);
        self.runners.insert(runner.id, runner.clone());
        Ok(runner)
    }

    pub(crate) fn remove_runner(&mut self, id: u64) -> Option<Runner> {
        let runner = self.runners.remove(&id)?;
        self.names.remove(&(runner.scope.clone(), runner.name.to_lowercase()));
        Some(runner)
    }

    /// Adds the names that are missing, compared without case.
    pub(crate) fn add_labels(&mut self, to: &mut Vec<Label>, names: &[String]) {
        for name in names {
            if !to.iter().any(|l| l.name.eq_ignore_ascii_case(name)) {
                let system = SYSTEM_LABELS.iter().any(|s| s.eq_ignore_ascii_case(name));
                let kind = if system { LabelKind::ReadOnly } else { LabelKind::Custom };
                self.last_label += 1;
                to.push(Label { id: self.last_label, name: name.clone(), kind });
            }
        }
    }

    pub(crate) fn installation(&self, id: u64) -> Option<&Installation> {
        self.installations.iter().find(|i| i.id == id)
    }

    pub(crate) fn installation_of(&self, org: &str) -> Option<&Installation> {
        self.installations.iter().find(|i| i.org.eq_ignore_ascii_case(org))
    }

    /// Returns the groups of `orgs/<org>` or `enterprises/<slug>`, in lower case.
    pub(crate) fn groups_of(&self, scope: &str) -> &[Group] {
        self.groups.get(scope).map_or(&[], Vec::as_slice)
    }
}
