//! Bytes of a first load, and which answers are compressed.

use std::{io::Read, time::Duration};

use domain::{InstallationId, JobId, Lane, TeamId};
use flate2::read::GzDecoder;
use harness::{Browser, ExtraInstallation, World, eventually, provision_body, team_draft};
use queue::Ticket;
use reqwest::Response;

/// Most bytes of a first load, everything on the wire counted but headers.
const MOST_BYTES: usize = 60 * 1024;
const TEAMS: usize = 40;
/// An hour of load in waves, in every minute.
const FLOW: &str = "INSERT INTO flow (span, at, installation, kind, accepted, started, succeeded, failed, expired,
        cancelled, wait, run)
    SELECT 'minute', date_trunc('minute', now()) - make_interval(mins => m), 'default', 'provision', n, n, n - f, f, 0, 0,
        ARRAY[n / 2, n - n / 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ARRAY[0, n / 3, n - n / 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    FROM (SELECT m, (4000 + 3000 * sin(m / 3.0))::bigint AS n, m % 7 AS f FROM generate_series(0, 60) AS m) AS course";
/// Depth of twelve lanes in the same hour.
const DEPTHS: &str = "INSERT INTO queue_depths (span, at, installation, lane, waiting, delayed, running, oldest_ms)
    SELECT 'minute', date_trunc('minute', now()) - make_interval(mins => m), installation, lane, n, n / 9, 8, n * 420
    FROM (SELECT m, installation, lane, abs(9000 * sin(m * length(installation || lane) / 31.0))::bigint AS n
        FROM generate_series(0, 60) AS m, unnest(ARRAY['default', 'games', 'research', 'web-shop']) AS installation,
            unnest(ARRAY['provision', 'deprovision', 'drift']) AS lane) AS course
    ON CONFLICT DO NOTHING";

fn waiting(installation: &str, lane: Lane, team: TeamId) -> Ticket {
    Ticket {
        job: JobId::new(),
        installation: installation.parse::<InstallationId>().unwrap(),
        lane,
        team: Some(team),
        weight: 1.0,
        cost: 1,
        age: Duration::from_secs(48),
        time_left: Duration::from_mins(8),
        delay: Duration::ZERO,
        urgent: false,
    }
}

/// Starts a service with a past, and with jobs of forty teams in twelve lanes.
async fn lively() -> World {
    let names = ["games", "research", "web-shop"];
    let mut twin = github_twin::TwinConfig::default();
    let ids = (6_161_616..).zip(names);
    twin.more_installations.extend(ids.map(|(id, name)| (id, format!("{name}-org"))));
    let add = |builder: harness::Builder, name: &str| {
        builder.installation(ExtraInstallation::org(name, &format!("{name}-org")))
    };
    let world = names.into_iter().fold(World::builder().workers(0).twin(twin), add).start().await;
    let mut jobs = Vec::new();
    let mut last = None;
    for nth in 0..TEAMS {
        let team = world.team(team_draft(&format!("department-{nth}"))).await;
        for installation in names.into_iter().chain(["default"]) {
            jobs.extend(
                [Lane::Provision, Lane::Deprovision, Lane::Drift]
                    .map(|lane| waiting(installation, lane, team.id)),
            );
        }
        last = Some(team);
    }
    world.queue().enqueue(&jobs).await.unwrap();
    let ada = world.user("ada", &[&last.unwrap()]).await;
    for _ in 0..10 {
        world.provision(&ada, provision_body("nightly-build-of-the-product")).await;
    }
    for sql in [FLOW, DEPTHS] {
        sqlx::query(sql).execute(world.sql()).await.unwrap();
    }
    world
}

/// Opens an address as a browser does that has nothing yet; `site` is where the request comes from.
async fn load(browser: &Browser, path: &str, site: &str) -> Response {
    let request = browser.request("GET", path).header("accept-encoding", "gzip, deflate, br, zstd");
    let response = request.header("sec-fetch-site", site).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response
}

fn encoding(response: &Response) -> &str {
    response.headers().get("content-encoding").map_or("", |coding| coding.to_str().unwrap())
}

async fn unzip(response: Response) -> String {
    let mut text = String::new();
    GzDecoder::new(&response.bytes().await.unwrap()[..]).read_to_string(&mut text).unwrap();
    text
}

/// Returns the bytes of everything that the page names.
async fn weigh_assets(browser: &Browser, page: &str) -> usize {
    let assets: Vec<&str> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
    let mut sum = 0;
    for kind in [".css", ".js", ".svg"] {
        let path = assets.iter().find(|path| path.ends_with(kind)).unwrap_or_else(|| panic!("no {kind}"));
        sum += load(browser, path, "same-origin").await.bytes().await.unwrap().len();
    }
    sum
}

/// Returns the bytes of the stream's first message.
async fn weigh_first_picture(browser: &Browser) -> usize {
    let mut stream = load(browser, "/live?board=true", "same-origin").await;
    let mut text = String::new();
    while !text.contains("\n\n") {
        let chunk = tokio::time::timeout(Duration::from_mins(2), stream.chunk()).await.unwrap().unwrap();
        text.push_str(&String::from_utf8_lossy(&chunk.expect("a stream that goes on")));
    }
    text.len()
}

#[tokio::test]
async fn first_load_of_a_lively_board_is_small() {
    let world = lively().await;
    let admin = world.sign_in(&world.admin().await).await;
    eventually("the board with everything", || async {
        let page = admin.get("/").await.assert_status(200);
        let newest = page.text.matches("nightly-build").count();
        (newest == 10 && page.text.contains("department-") && page.text.contains(r#"class="level""#))
            .then_some(())
    })
    .await;
    let zipped = load(&admin, "/", "none").await;
    assert_eq!(encoding(&zipped), "gzip");
    let html = zipped.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap();
    let page = unzip(zipped).await;
    assert!(page.matches(r#"<svg class="chart spark""#).count() == 24 && page.ends_with("</html>"), "{page}");
    let (assets, picture) = (weigh_assets(&admin, &page).await, weigh_first_picture(&admin).await);
    let sum = html + assets + picture;
    assert!(
        sum <= MOST_BYTES,
        "{sum} bytes: {html} of HTML, {assets} of assets, {picture} of the first picture"
    );
    // A link in an alarm's message leads here from another site: nothing of its page is compressed.
    let linked = load(&admin, "/", "cross-site").await.bytes().await.unwrap().len();
    let sum = linked + assets;
    assert!(sum <= MOST_BYTES, "{sum} bytes: {linked} of HTML, {assets} of assets");
}

#[tokio::test]
async fn only_pages_that_no_other_site_asked_for_are_compressed() {
    let world = World::builder().workers(1).start().await;
    let team = world.team(team_draft("red")).await;
    let person = world.user("ada", &[&team]).await;
    let asked = world.provision(&person, provision_body("ci")).await;
    world.until_final(&person, asked.job).await;
    let ada = world.sign_in(&person).await;
    for (site, coding) in [("same-origin", "gzip"), ("none", "gzip"), ("same-site", ""), ("cross-site", "")] {
        let page = load(&ada, "/runners?q=ci", site).await;
        assert_eq!(encoding(&page), coding, "{site}");
        let text = if coding == "gzip" { unzip(page).await } else { page.text().await.unwrap() };
        assert!(text.contains(&asked.name), "{site}: {text}");
    }
    // Old browsers do not say where a request comes from.
    let silent = ada.request("GET", "/runners").header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(encoding(&silent), "");
    // The answer to a form may show a secret.
    let path = format!("/jobs/{}/config", asked.job);
    let form =
        ada.request("POST", &path).header("sec-fetch-site", "same-origin").header("accept-encoding", "gzip");
    let shown = form.form(&[("", ""); 0]).send().await.unwrap();
    assert_eq!((shown.status().as_u16(), encoding(&shown)), (200, ""));
    assert!(shown.text().await.unwrap().contains("ACTIONS_RUNNER_INPUT_JITCONFIG"));
}
