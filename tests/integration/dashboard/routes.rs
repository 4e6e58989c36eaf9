//! Authorization matrix of the dashboard: every route, by every kind of visitor. A route without a rule fails the test.

use std::collections::BTreeSet;

use harness::{Browser, World};
use uuid::Uuid;

/// Visitors who may open a page or press a button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    /// Everyone, without a session.
    Everyone,
    /// Every signed-in person, also a viewer who presses a button: it concerns their own sessions.
    SignedIn,
    /// Every signed-in person; a viewer only reads.
    People,
    /// Admins and viewers; a viewer only reads.
    Overseers,
    /// Admins.
    Admins,
}

use Allowed::{Admins, Everyone, Overseers, People, SignedIn};

/// Rules by method and path.
const RULES: &[(&str, &str, Allowed)] = &[
    ("GET", "/", People),
    ("GET", "/assets/{hash}/{name}", Everyone),
    ("GET", "/audit", People),
    ("GET", "/audit/export", Overseers),
    ("GET", "/batches/{id}", Overseers),
    ("POST", "/batches/{id}/resume", Admins),
    ("POST", "/batches/{id}/stop", Admins),
    ("GET", "/budget", Overseers),
    ("GET", "/clients", Overseers),
    ("GET", "/clients/new", Admins),
    ("POST", "/clients/new", Admins),
    ("GET", "/clients/test", Admins),
    ("POST", "/clients/test", Admins),
    ("GET", "/clients/{id}", Overseers),
    ("GET", "/clients/{id}/activate", Admins),
    ("POST", "/clients/{id}/activate", Admins),
    ("GET", "/clients/{id}/deactivate", Admins),
    ("POST", "/clients/{id}/deactivate", Admins),
    ("GET", "/clients/{id}/remove", Admins),
    ("POST", "/clients/{id}/remove", Admins),
    ("GET", "/explain", People),
    ("GET", "/failures", Overseers),
    ("GET", "/failures/discard", Admins),
    ("POST", "/failures/discard", Admins),
    ("GET", "/failures/jobs", Overseers),
    ("GET", "/failures/retry", Admins),
    ("POST", "/failures/retry", Admins),
    ("GET", "/fleet", Overseers),
    ("POST", "/fleet/sync", Admins),
    ("GET", "/fleet/{installation}/removals", Admins),
    ("POST", "/fleet/{installation}/removals", Admins),
    ("GET", "/incidents/new", Admins),
    ("POST", "/incidents/new", Admins),
    ("GET", "/incidents/{id}", Overseers),
    ("GET", "/incidents/{id}/undo", Admins),
    ("POST", "/incidents/{id}/undo", Admins),
    ("GET", "/installations/{installation}/pause", Admins),
    ("POST", "/installations/{installation}/pause", Admins),
    ("POST", "/installations/{installation}/resume", Admins),
    ("GET", "/jobs", People),
    ("GET", "/jobs/newer/{after}", People),
    ("GET", "/jobs/{id}", People),
    ("GET", "/jobs/{id}/cancel", People),
    ("POST", "/jobs/{id}/cancel", People),
    ("GET", "/jobs/{id}/config", People),
    ("POST", "/jobs/{id}/config", People),
    ("GET", "/jobs/{id}/discard", Admins),
    ("POST", "/jobs/{id}/discard", Admins),
    ("GET", "/jobs/{id}/retry", Admins),
    ("POST", "/jobs/{id}/retry", Admins),
    ("GET", "/lanes", Overseers),
    ("GET", "/lanes/{lane}/pause", Admins),
    ("POST", "/lanes/{lane}/pause", Admins),
    ("POST", "/lanes/{lane}/resume", Admins),
    ("GET", "/live", Overseers),
    ("GET", "/numbers", Overseers),
    ("GET", "/people", Overseers),
    ("GET", "/people/new", Admins),
    ("POST", "/people/new", Admins),
    ("GET", "/people/{id}", Overseers),
    ("GET", "/people/{id}/activate", Admins),
    ("POST", "/people/{id}/activate", Admins),
    ("GET", "/people/{id}/deactivate", Admins),
    ("POST", "/people/{id}/deactivate", Admins),
    ("GET", "/people/{id}/end-sessions", Admins),
    ("POST", "/people/{id}/end-sessions", Admins),
    ("GET", "/people/{id}/role", Admins),
    ("POST", "/people/{id}/role", Admins),
    ("GET", "/people/{id}/unbind", Admins),
    ("POST", "/people/{id}/unbind", Admins),
    ("GET", "/runners", People),
    ("POST", "/runners/check", People),
    ("GET", "/runners/newer/{after}", People),
    ("GET", "/runners/new", People),
    ("POST", "/runners/new", People),
    ("GET", "/runners/remove", Admins),
    ("POST", "/runners/remove", Admins),
    ("GET", "/runners/{id}", People),
    ("POST", "/runners/{id}/check", People),
    ("GET", "/runners/{id}/remove", People),
    ("POST", "/runners/{id}/remove", People),
    ("GET", "/runners/{id}/state", People),
    ("GET", "/search", People),
    ("GET", "/security", Overseers),
    ("GET", "/security/{id}", Overseers),
    ("GET", "/security/{id}/acknowledge", Admins),
    ("POST", "/security/{id}/acknowledge", Admins),
    ("GET", "/session/callback", Everyone),
    ("POST", "/session/end", SignedIn),
    ("POST", "/session/live", SignedIn),
    ("GET", "/session/start", Everyone),
    ("GET", "/sessions", SignedIn),
    ("POST", "/sessions/end-all", SignedIn),
    ("POST", "/sessions/{id}/end", SignedIn),
    ("GET", "/sign-in", Everyone),
    ("GET", "/sinks", Overseers),
    ("POST", "/sinks/deliveries/{id}/send", Admins),
    ("GET", "/teams", People),
    ("GET", "/teams/new", Admins),
    ("POST", "/teams/new", Admins),
    ("GET", "/teams/{id}", People),
    ("GET", "/teams/{id}/deactivate", Admins),
    ("POST", "/teams/{id}/deactivate", Admins),
    ("GET", "/teams/{id}/edit", Admins),
    ("POST", "/teams/{id}/edit", Admins),
    ("GET", "/teams/{id}/tickets/{ticket}/revoke", People),
    ("POST", "/teams/{id}/tickets/{ticket}/revoke", People),
    ("GET", "/teams/{id}/members/add", Admins),
    ("POST", "/teams/{id}/members/add", Admins),
    ("GET", "/teams/{id}/members/{user}/remove", Admins),
    ("POST", "/teams/{id}/members/{user}/remove", Admins),
    ("GET", "/teams/{id}/reactivate", Admins),
    ("POST", "/teams/{id}/reactivate", Admins),
    ("POST", "/teams/{id}/try", Admins),
    ("GET", "/workers", Overseers),
    ("GET", "/workers/{name}/drain", Admins),
    ("POST", "/workers/{name}/drain", Admins),
];

/// Kinds of visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Stranger,
    Ended,
    Member,
    Viewer,
    Admin,
}

impl Allowed {
    fn admits(self, who: Who, method: &str) -> bool {
        let reads = method == "GET";
        match self {
            Everyone => true,
            SignedIn => !matches!(who, Who::Stranger | Who::Ended),
            People => matches!(who, Who::Member | Who::Admin) || (who == Who::Viewer && reads),
            Overseers => who == Who::Admin || (who == Who::Viewer && reads),
            Admins => who == Who::Admin,
        }
    }
}

#[test]
fn every_route_has_one_rule() {
    let ruled: BTreeSet<(&str, &str)> = RULES.iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(ruled.len(), RULES.len(), "a route has two rules");
    let routes: BTreeSet<(&str, &str)> = api::dashboard_routes().into_iter().collect();
    let missing: Vec<_> = routes.difference(&ruled).collect();
    assert!(missing.is_empty(), "say in dashboard/routes.rs who may open {missing:?}");
    let stale: Vec<_> = ruled.difference(&routes).collect();
    assert!(stale.is_empty(), "rules without a route: {stale:?}");
}

async fn browser(world: &World, who: Who) -> Browser {
    match who {
        Who::Stranger => world.browser(),
        Who::Ended => {
            let browser = world.browser();
            browser.set_cookie("__Host-rts", "of-no-session");
            browser
        }
        Who::Member => world.sign_in(&world.user(&format!("m{}", Uuid::new_v4().simple()), &[]).await).await,
        Who::Viewer => world.sign_in(&world.viewer(&format!("v{}", Uuid::new_v4().simple())).await).await,
        Who::Admin => {
            let draft = world.user_draft(&format!("a{}", Uuid::new_v4().simple()));
            world.sign_in(&world.person(store::UserDraft { is_admin: true, ..draft }, &[]).await).await
        }
    }
}

/// Returns a path with values that belong to no resource.
fn path_of(path: &str) -> String {
    let part = |part: &str| match part {
        "{lane}" => "provision".to_owned(),
        "{installation}" => "default".to_owned(),
        "{hash}" => "000000000000".to_owned(),
        "{name}" => "ui.css".to_owned(),
        other if other.starts_with('{') => Uuid::nil().to_string(),
        other => other.to_owned(),
    };
    // The stream itself would go on for minutes.
    let once = if path == "/live" { "?once=true" } else { "" };
    path.split('/').map(part).collect::<Vec<_>>().join("/") + once
}

#[tokio::test]
async fn every_visitor_gets_exactly_what_the_rules_say() {
    let world = World::builder().workers(0).start().await;
    let mut faults = Vec::new();
    for (method, path, allowed) in RULES {
        for who in [Who::Stranger, Who::Ended, Who::Member, Who::Viewer, Who::Admin] {
            let browser = browser(&world, who).await;
            let url = path_of(path);
            let answer =
                if *method == "GET" { browser.get(&url).await } else { browser.post(&url, &[]).await };
            let to_sign_in = answer.header("location").starts_with("/sign-in?to=");
            let fits = match (allowed.admits(who, method), who) {
                (true, _) => !to_sign_in && answer.status < 500 && ![401, 403].contains(&answer.status),
                (false, Who::Stranger | Who::Ended) if *method == "GET" => answer.status == 303 && to_sign_in,
                (false, Who::Stranger | Who::Ended) => answer.status == 401,
                (false, _) => answer.status == 403,
            };
            if !fits {
                faults.push(format!(
                    "{method} {path} by {who:?}: {} {}",
                    answer.status,
                    answer.header("location")
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
}
