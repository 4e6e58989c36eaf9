//! The board: depth, causes and course of the queue, and its live data.

use std::{num::NonZeroU32, time::Duration};

use harness::{Browser, World, eventually, provision_body, team_draft};
use runtime::config::ServerGuards;

/// Returns the text between two texts.
fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let rest = text.split_once(from).map_or("", |(_, rest)| rest);
    rest.split_once(to).map_or("", |(found, _)| found)
}

#[tokio::test]
async fn board_shows_depth_and_for_what_jobs_wait() {
    let world = World::builder().workers(0).start().await;
    let team = world.team(team_draft("games-ci")).await;
    let ada = world.user("ada", &[&team]).await;
    for _ in 0..3 {
        world.provision(&ada, provision_body("ci")).await;
    }
    let browser = world.sign_in(&world.admin().await).await;
    let page = eventually("the board with three waiting jobs", || async {
        let page = browser.get("/").await.assert_status(200);
        page.text.contains("games-ci").then_some(page)
    })
    .await;
    let lane = between(&page.text, r#"<th scope="row" data-label="Lane">provision</th>"#, "</tr>");
    assert!(lane.contains(r#"data-label="Waiting" class="num">3<"#), "{lane}");
    let cause = between(&page.text, "A free worker</a></th>", "</tr>");
    assert!(cause.contains(r#"<td class="num">3</td>"#), "{cause}");
    // Lanes without jobs are shown too.
    for lane in ["deprovision", "drift"] {
        assert!(page.text.contains(&format!(r#"data-label="Lane">{lane}<"#)), "{lane}");
    }
    assert!(page.text.contains("No worker was seen in the last hour, and 3 jobs wait"), "{}", page.text);
    assert!(page.text.contains("<title>■ Stopped – Board – RTS</title>"), "{}", page.text);
    assert_eq!(between(&page.text, "Newest jobs</h2>", "</section>").matches("provision</a>").count(), 3);
    for span in ["1h", "24h", "30d"] {
        browser.get(&format!("/?span={span}")).await.assert_status(200);
    }
    browser.get("/?span=5y").await.assert_status(422);
}

#[tokio::test]
async fn course_shows_what_was_accepted_and_has_ended() {
    let world = World::builder().workers(0).start().await;
    let browser = world.sign_in(&world.admin().await).await;
    let empty = browser.get("/").await.assert_status(200);
    assert!(empty.text.contains("No job in this span."), "{}", empty.text);
    let insert = "INSERT INTO flow (span, at, installation, kind, accepted, started, succeeded, failed, expired, cancelled,
            wait, run)
         VALUES ('minute', date_trunc('minute', now()) - interval '5 minutes', 'default', 'provision', 1204, 4, 2, 1, 1, 0,
            '{0,0,0,4,0,0,0,0,0,0,0,0,0}', '{0,3,0,0,0,0,0,0,0,0,0,0,0}')";
    sqlx::query(insert).execute(world.sql()).await.unwrap();
    let page = browser.get("/").await.assert_status(200);
    let flow = between(&page.text, "Open jobs</h2>", "</section>");
    for part in [
        "1,204 accepted",
        "2 done",
        "2 failed or expired",
        "<path class=\"line n2\"",
        "/numbers?span=1h#flow",
    ] {
        assert!(flow.contains(part), "{part}: {flow}");
    }
    let numbers = browser.get("/numbers?span=1h").await.assert_status(200);
    let row = between(&numbers.text, ">1,204</td>", "</tr>");
    assert!(row.contains(r#"<td class="num">4</td><td class="num">2</td>"#), "{row}");
    let times = between(&page.text, "From request to config</h2>", "</section>");
    assert!(times.contains("0.8 s") && times.contains("4 samples in 1 hour"), "{times}");
    let day = browser.get("/?span=24h").await.assert_status(200);
    assert!(day.text.contains("1,204 accepted"), "{}", day.text);
}

#[tokio::test]
async fn team_that_waits_is_shown_with_its_weight_and_share() {
    let world = World::builder().workers(0).start().await;
    let mut draft = team_draft("games-ci");
    draft.weight = 3.0;
    let (games, web) = (world.team(draft).await, world.team(team_draft("web")).await);
    let ada = world.user("ada", &[&games]).await;
    world.provision(&ada, provision_body("ci")).await;
    let started =
        "INSERT INTO flow_teams (span, at, team_id, accepted, started, succeeded, failed, expired, cancelled)
        VALUES ('minute', now() - interval '5 minutes', $1, 0, 30, 0, 0, 0, 0),
            ('minute', now() - interval '5 minutes', $2, 0, 90, 0, 0, 0, 0)";
    sqlx::query(started).bind(games.id.uuid()).bind(web.id.uuid()).execute(world.sql()).await.unwrap();
    let browser = world.sign_in(&world.admin().await).await;
    let page = eventually("the team that waits", || async {
        let page = browser.get("/").await.assert_status(200);
        page.text.contains("games-ci").then_some(page)
    })
    .await;
    let team = between(&page.text, "games-ci</a></th>", "</tr>");
    let cells: Vec<&str> = team.split("</td>").map(|cell| cell.rsplit('>').next().unwrap()).collect();
    assert!(cells[0].ends_with(" s"), "the age of the oldest: {cells:?}");
    assert_eq!(cells[1..5], ["1", "0", "3", "25 %"], "{cells:?}");
}

#[tokio::test]
async fn depth_of_each_lane_has_a_course_that_the_leading_scheduler_samples() {
    let world = World::builder().workers(0).start().await;
    let browser = world.sign_in(&world.admin().await).await;
    let empty = browser.get("/").await.assert_status(200);
    assert!(empty.text.contains("The depth was not measured in this span."), "{}", empty.text);
    let team = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&team]).await;
    for _ in 0..3 {
        world.provision(&ada, provision_body("ci")).await;
    }
    eventually("three jobs wait", || async {
        scheduler::depths::run(world.scheduler_parts()).await.unwrap();
        let most = "SELECT coalesce(max(waiting), 0) FROM queue_depths WHERE lane = 'provision'";
        (world.count(most).await == 3).then_some(())
    })
    .await;
    let lanes = "SELECT count(DISTINCT lane) FROM queue_depths WHERE span = 'minute'";
    assert_eq!(world.count(lanes).await, 3, "lanes without jobs too");
    for span in ["1h", "24h", "30d"] {
        let page = browser.get(&format!("/?span={span}")).await.assert_status(200);
        let depths = between(&page.text, "Depth of the queue</h2>", "</section>");
        assert!(depths.contains("Waiting jobs of provision, default: at most 3"), "{span}: {depths}");
        let numbers = browser.get(&format!("/numbers?span={span}")).await.assert_status(200);
        let depths = between(&numbers.text, "Depth of the queue</h2>", "</section>");
        assert!(
            depths.contains(r#"<td>provision</td><td>default</td><td class="num">3</td>"#),
            "{span}: {depths}"
        );
    }
    // Minutes become hours that keep the largest numbers, and old hours go.
    let old =
        "INSERT INTO queue_depths SELECT span, at, installation, 'provision', waiting, 0, 0, waiting * 1000
        FROM (VALUES ('minute', date_trunc('hour', now()) - interval '50 hours', 'default', 7),
            ('minute', date_trunc('hour', now()) - interval '50 hours' + interval '1 minute', 'default', 9),
            ('hour', now() - interval '40 days', 'default', 1)) AS old (span, at, installation, waiting)";
    sqlx::query(old).execute(world.sql()).await.unwrap();
    scheduler::depths::run(world.scheduler_parts()).await.unwrap();
    let hours = "SELECT count(*) FROM queue_depths WHERE span = 'hour' AND waiting = 9 AND oldest_ms = 9000";
    assert_eq!(world.count(hours).await, 1);
    assert_eq!(world.count("SELECT count(*) FROM queue_depths WHERE span = 'hour'").await, 1);
    let month = browser.get("/?span=30d").await.assert_status(200);
    assert!(month.text.contains("default: at most 9\""), "{}", month.text);
}

/// Reads the stream until its text has what `holds` looks for.
async fn read_until(response: &mut reqwest::Response, holds: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let read = async {
        while let Some(chunk) = response.chunk().await.expect("a chunk") {
            text.push_str(&String::from_utf8_lossy(&chunk));
            if holds(&text) {
                return;
            }
        }
        panic!("the stream ended: {text}");
    };
    tokio::time::timeout(Duration::from_mins(2), read).await.expect("the data in time");
    text
}

async fn open_stream(browser: &Browser, path: &str) -> reqwest::Response {
    let response = browser.request("GET", path).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    response
}

#[tokio::test]
async fn live_stream_begins_with_the_whole_picture_and_sends_changes() {
    let world = World::builder().workers(0).start().await;
    let team = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&team]).await;
    let browser = world.sign_in(&world.admin().await).await;
    let mut board = open_stream(&browser, "/live?board=true").await;
    let mut other = open_stream(&browser, "/live?board=false").await;
    let first = read_until(&mut board, |text| text.contains("\n\n")).await;
    for target in ["#asof", "#status", "#queue", "#board"] {
        assert!(first.contains(&format!("hx-target=\"{target}\"")), "{first}");
    }
    let first = read_until(&mut other, |text| text.contains("\n\n")).await;
    assert!(first.contains("#status") && !first.contains("#board"), "{first}");
    world.provision(&ada, provision_body("ci")).await;
    read_until(&mut board, |text| text.contains("No worker was seen")).await;
    let polled = browser.get("/live?board=true&once=true").await.assert_status(200);
    assert!(polled.text.contains("#board") && polled.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn live_streams_of_one_person_are_bounded() {
    let guards = ServerGuards { waits_per_caller: NonZeroU32::MIN, ..ServerGuards::default() };
    let world = World::builder().workers(0).guards(guards).start().await;
    let browser = world.sign_in(&world.admin().await).await;
    let one = open_stream(&browser, "/live").await;
    browser.get("/live").await.assert_status(429);
    drop(one);
    eventually("a free place", || async {
        let response = browser.request("GET", "/live").send().await.unwrap();
        (response.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn browser_remembers_that_its_live_data_is_stopped() {
    let world = World::builder().workers(0).start().await;
    let browser = world.sign_in(&world.viewer("eye").await).await;
    let live = browser.get("/sessions").await.assert_status(200);
    assert!(live.text.contains("hx-sse:connect"), "{}", live.text);
    let form = [("paused", "true"), ("to", "/sessions")];
    let done = browser.post("/session/live", &form).await.assert_status(303);
    assert_eq!(done.header("location"), "/sessions");
    let still = browser.get("/sessions").await.assert_status(200);
    assert!(
        !still.text.contains("hx-sse:connect") && still.text.contains("Show live data"),
        "{}",
        still.text
    );
    let elsewhere = [("paused", "false"), ("to", "https://evil.example/")];
    let done = browser.post("/session/live", &elsewhere).await.assert_status(303);
    assert_eq!(done.header("location"), "/");
    assert!(browser.get("/sessions").await.text.contains("hx-sse:connect"));
}
