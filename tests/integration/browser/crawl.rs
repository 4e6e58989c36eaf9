//! Every page of the dashboard in a browser, and the pictures of the documentation.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    company::{Company, company},
    session, tell,
};

/// Addresses that are no page of their own: files, streams, parts of pages, downloads and steps of a sign-in.
const NO_PAGES: &[&str] = &[
    "/assets/{hash}/{name}",
    "/audit/export",
    "/jobs/newer/{after}",
    "/live",
    "/runners/newer/{after}",
    "/runners/{id}/state",
    "/search",
    "/session/callback",
    "/session/start",
    "/sign-in",
];

/// Returns the addresses at which a page is seen; the path of its route without values has none.
fn addresses(company: &Company, route: &str) -> Vec<String> {
    let Company {
        web,
        online,
        failed,
        ready,
        waiting,
        client,
        batch,
        incident,
        event,
        ticket,
        ada,
        grace,
        ..
    } = company;
    let with = |id: &dyn std::fmt::Display| route.replace("{id}", &id.to_string());
    match route {
        "/" => vec!["/?span=24h".to_owned(), "/?span=30d".to_owned(), "/".to_owned()],
        "/runners" => vec![route.to_owned(), "/runners?status=deleted&q=none".to_owned()],
        "/numbers" => vec![format!("{route}?span=24h"), route.to_owned()],
        "/runners/remove" => vec![format!("{route}?id={}", online.runner)],
        "/jobs" => vec![route.to_owned(), "/jobs?q=colour%3Ared".to_owned(), "/jobs?state=failed".to_owned()],
        "/jobs/{id}" => vec![with(failed), with(waiting)],
        "/jobs/{id}/cancel" => vec![with(waiting)],
        "/jobs/{id}/config" => vec![with(ready), with(waiting)],
        "/failures/jobs" | "/failures/retry" | "/failures/discard" => {
            vec![format!("{route}?code=github_refused")]
        }
        "/explain" => vec![route.to_owned(), format!("{route}?team={}&labels=gpu-a100", web.id)],
        "/teams/{id}/members/{user}/remove" => vec![with(&web.id).replace("{user}", &ada.id.to_string())],
        "/teams/{id}/tickets/{ticket}/revoke" => vec![with(&web.id).replace("{ticket}", &ticket.to_string())],
        "/teams/{id}/members/add" => vec![format!("{}?person=vera@example.com", with(&web.id))],
        "/people/{id}/role" => vec![with(&ada.id), with(&grace.id)],
        _ if route.starts_with("/runners/{id}") => vec![with(&online.runner)],
        _ if route.starts_with("/jobs/{id}") => vec![with(failed)],
        _ if route.starts_with("/teams/{id}") => vec![with(&web.id)],
        _ if route.starts_with("/people/{id}") => vec![with(&ada.id)],
        _ if route.starts_with("/clients/{id}") => vec![with(client)],
        _ if route.starts_with("/batches/{id}") => vec![with(batch)],
        _ if route.starts_with("/incidents/{id}") => vec![with(incident)],
        _ if route.starts_with("/security/{id}") => vec![with(event)],
        _ => vec![
            route
                .replace("{installation}", "default")
                .replace("{lane}", "drift")
                .replace("{name}", "worker-0"),
        ],
    }
}

/// Returns the addresses of all pages that a browser with this session opens with success.
async fn pages(company: &Company, cookie: &str) -> Vec<String> {
    let browser = company.world.browser();
    browser.set_cookie("__Host-rts", cookie);
    let mut pages = Vec::new();
    for (method, route) in api::dashboard_routes() {
        if method == "GET" && !NO_PAGES.contains(&route) {
            for address in addresses(company, route) {
                if browser.get(&address).await.status == 200 {
                    pages.push(address);
                }
            }
        }
    }
    pages
}

/// Returns the routes of pages of which no address was opened.
fn missed(pages: &[String], company: &Company) -> BTreeSet<&'static str> {
    let routes = api::dashboard_routes().into_iter().filter(|(method, _)| *method == "GET");
    let routes = routes.map(|(_, route)| route).filter(|route| !NO_PAGES.contains(route));
    routes.filter(|route| addresses(company, route).iter().all(|one| !pages.contains(one))).collect()
}

#[tokio::test]
async fn every_page_is_accessible_and_fits_a_phone() {
    if let Some(tools) = harness::tool("TEST_BROWSER") {
        let company = company().await;
        let mut people = serde_json::Map::new();
        for (who, person) in [("admin", &company.grace), ("viewer", &company.vera), ("member", &company.ada)]
        {
            let session = session(&company.world, person).await;
            let paths = pages(&company, &session).await;
            if who == "admin" {
                let missed: Vec<_> = missed(&paths, &company).into_iter().collect();
                assert!(missed.is_empty(), "say in browser/crawl.rs at which address {missed:?} is seen");
            }
            people.insert(who.to_owned(), json!({ "session": session, "paths": paths }));
        }
        let facts = json!({ "url": company.world.url(), "people": &people });
        tell(&tools, "crawl", &facts).await;
        let person = |name: &str| people[name]["session"].clone();
        let facts = json!({
            "url": company.world.url(), "admin": person("admin"), "member": person("member"),
            "runner": company.online.runner,
        });
        tell(&tools, "gallery", &facts).await;
    }
}
