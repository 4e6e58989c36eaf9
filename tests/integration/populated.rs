//! A service with a resource of each kind in several states, for tests that look at everything.

use github_twin::{Fault, FaultKind};
use harness::{Builder, Person, Team, World, provision_body, team_draft};
use serde_json::json;
use store::UserDraft;
use uuid::Uuid;

/// The service and those who use it.
pub(crate) struct Populated {
    pub(crate) world: World,
    /// Team of all who act here.
    pub(crate) red: Team,
    /// Member of red, who asked for the runners.
    pub(crate) ada: Person,
    /// Admin and member of red.
    pub(crate) root: Person,
    /// A runner that was made.
    pub(crate) runner: Uuid,
    /// A job that failed.
    pub(crate) failed: Uuid,
}

/// Starts the service with a worker and a scheduler. Some jobs have succeeded, one has failed, and one request was
/// refused.
pub(crate) async fn populated(builder: Builder) -> Populated {
    let world = builder.scheduler().start().await;
    let red = world.team(team_draft("red")).await;
    let blue = world.team(team_draft("blue")).await;
    let ada = world.user("ada", &[&red]).await;
    world.user("bob", &[&red, &blue]).await;
    world.viewer("eve").await;
    world.machine("pipeline", &red).await;
    let admin = UserDraft { is_admin: true, ..world.user_draft("root") };
    let root = world.person(admin, &[&red]).await;
    let mut runner = Uuid::nil();
    for name in ["ci", "nightly", "release"] {
        let made = world.provision(&ada, provision_body(name)).await;
        assert_eq!(world.until_final(&ada, made.job).await["state"], "succeeded");
        runner = made.runner;
    }
    world.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Status { status: 422 }));
    let failed = world.provision(&ada, provision_body("lost")).await.job;
    assert_eq!(world.until_final(&ada, failed).await["state"], "failed");
    let forbidden = json!({ "runner_name_prefix": "ci", "labels": ["forbidden"] });
    world.jit(&ada, &forbidden).await.assert_status(403);
    Populated { world, red, ada, root, runner, failed }
}
