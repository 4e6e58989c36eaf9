//! Workflow runs and their jobs on the twin, as autoscalers read them.

use github_twin::{Conclusion, RunnerChange};
use serde_json::{Value, json};

use super::support::Github;

const RUNS: &str = "/repos/acme/web/actions/runs";

#[tokio::test]
async fn runs_are_listed_by_status_or_conclusion_newest_first() {
    let github = Github::start().await;
    let control = github.twin.control();
    let jobs: Vec<_> = (0..3).map(|_| control.queue_job("acme/web", &[]).unwrap()).collect();
    control.queue_job("acme/api", &[]).unwrap();
    let runner = github.runner("box").await;
    control.set_runner(runner, RunnerChange::online()).unwrap();
    control.start_job(jobs[1].id, runner).unwrap();
    control.complete_job(jobs[2].id, Conclusion::Cancelled).unwrap();
    for (query, want) in [
        ("", vec![2, 1, 0]),
        ("?status=queued", vec![0]),
        ("?status=in_progress", vec![1]),
        ("?status=completed", vec![2]),
        ("?status=cancelled&event=push", vec![2]),
        ("?event=schedule", vec![]),
        ("?branch=main&per_page=1&page=2", vec![1]),
    ] {
        let reply = github.get(&format!("{RUNS}{query}")).await;
        let ids =
            reply.body["workflow_runs"].as_array().unwrap().iter().map(|run| run["id"].as_u64().unwrap());
        let want: Vec<u64> = want.into_iter().map(|i: usize| jobs[i].run_id).collect();
        assert_eq!(ids.collect::<Vec<_>>(), want, "{query}");
    }
}

#[tokio::test]
async fn run_leads_to_its_jobs() {
    let github = Github::start().await;
    let job = github.twin.control().queue_job("acme/web", &["gpu"]).unwrap();
    let run = github.get(&format!("{RUNS}/{}", job.run_id)).await;
    assert_eq!((&run.body["status"], &run.body["repository"]["name"]), (&json!("queued"), &json!("web")));
    let jobs = run.body["jobs_url"].as_str().unwrap().trim_start_matches(github.twin.url()).to_owned();
    let jobs = github.get(&jobs).await;
    assert_eq!((&jobs.body["total_count"], &jobs.body["jobs"][0]["labels"]), (&json!(1), &json!(["gpu"])));
    for path in [
        format!("{RUNS}/1"),
        format!("{RUNS}/1/jobs"),
        format!("/repos/acme/api/actions/runs/{}", job.run_id),
    ] {
        assert_eq!(github.get(&path).await.status, 404, "{path}");
    }
    assert_eq!(github.call("GET", RUNS, &Value::Null).await.status, 200);
}
