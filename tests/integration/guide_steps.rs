//! Steps of guides, of the README and of operations: the commands of their text run as a reader runs them.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Output, Stdio},
};

use harness::{Bearer, World, team_draft};
use serde_json::Value;
use tokio::process::Command;

/// Address that stands for the service in the documents.
const SERVICE: &str = "https://runners.example.com";

/// Returns the blocks of a document in this language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A reader with a shell on a machine that has `rts`.
struct Reader {
    world: World,
}

impl Reader {
    async fn new() -> Self {
        let world = World::start().await;
        let tools = world.folder().join("bin");
        fs::create_dir(&tools).unwrap();
        symlink(world.rts(), tools.join("rts")).unwrap();
        let reader = Self { world };
        reader.write("run.sh", "#!/bin/sh\ntest -n \"$ACTIONS_RUNNER_INPUT_JITCONFIG\"\n", 0o755);
        reader
    }

    fn path(&self, name: &str) -> String {
        self.world.folder().join(name).display().to_string()
    }

    fn write(&self, name: &str, content: &str, mode: u32) {
        let path = Path::new(&self.path(name)).to_owned();
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Runs lines of a document with the address of this world's service.
    async fn run(&self, script: &str, who: &(impl Bearer + ?Sized), changes: &[(&str, &str)]) -> Output {
        let script = script.replace(SERVICE, self.world.url());
        let mut bash = Command::new("bash");
        bash.args(["-eu", "-o", "pipefail", "-c", &script]).current_dir(self.world.folder()).env_clear();
        bash.env("PATH", format!("{}:/usr/bin:/bin", self.path("bin"))).env("API", self.world.url());
        bash.env("TOKEN", who.token().unwrap_or_default());
        bash.envs(self.world.caller_environment(who.token().unwrap_or_default()));
        bash.envs(changes.iter().copied()).stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap()
    }

    /// Runs lines that must succeed. Returns what they wrote to stdout.
    async fn done(&self, script: &str, who: &(impl Bearer + ?Sized), changes: &[(&str, &str)]) -> String {
        let output = self.run(script, who, changes).await;
        assert!(output.status.success(), "{script}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Returns the JSON values that commands wrote one after the other.
fn values(text: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(text).into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn lines_of_the_first_pages_request_a_runner_and_show_it() {
    let reader = Reader::new().await;
    let world = &reader.world;
    let ada = world.user("ada", &[&world.team(team_draft("red")).await]).await;
    let root = world.admin().await;
    let lines = blocks(include_str!("../../README.md"), "sh");
    let lines = lines.iter().find(|block| block.contains("/runners/jit")).unwrap();
    let (at_once, step_by_step) = lines.split_once("# Or step by step").unwrap();
    let made = values(&reader.done(at_once, &ada, &[]).await).remove(0);
    let job = made["job_id"].as_str().unwrap();
    let steps = format!("#{step_by_step}");
    let steps = values(&reader.done(&steps, &ada, &[("JOB", job)]).await);
    assert_eq!(steps[0]["state"], "succeeded");
    assert_eq!(steps[1]["encoded_jit_config"], made["encoded_jit_config"]);

    let lists = blocks(include_str!("../../docs/guides/quickstart.md"), "sh");
    let lists = lists.iter().find(|block| block.contains("/admin/queues")).unwrap();
    let lists = values(&reader.done(lists, &ada, &[("ADMIN_TOKEN", &root.token)]).await);
    assert_eq!((&lists[0]["total"], &lists[1]["total"]), (&1.into(), &1.into()), "{lists:?}");
    assert!(lists[2]["lanes"].is_array(), "{lists:?}");
}

#[tokio::test]
async fn steps_of_the_ticket_guide_lead_to_runners() {
    let reader = Reader::new().await;
    let world = &reader.world;
    let ada = world.user("ada", &[&world.team(team_draft("red")).await]).await;
    let guide = include_str!("../../docs/guides/tickets.md");
    let lines = blocks(guide, "sh");
    let create = lines[0].replace("10.1.0.0/16", "127.0.0.0/8");
    let ticket = async || reader.done(&create, &ada, &[]).await.trim().to_owned();

    let redeem = lines[1].replace("rtst_…", &ticket().await);
    reader.done(&redeem, "", &[]).await;

    let seed: Value = serde_saphyr::from_str(blocks(guide, "yaml")[0]).unwrap();
    let file = &seed["write_files"][0];
    let place = |text: &Value| {
        let text = text.as_str().unwrap().replace("/run/rts-ticket", &reader.path("rts-ticket"));
        text.replace("/opt/runner/", &format!("{}/", reader.path("")))
    };
    let mode = u32::from_str_radix(file["permissions"].as_str().unwrap(), 8).unwrap();
    assert_eq!(place(&file["path"]), reader.path("rts-ticket"));
    reader.write("rts-ticket", &place(&file["content"]).replace("rtst_…", &ticket().await), mode);
    let command: Vec<String> = seed["runcmd"][0].as_array().unwrap().iter().map(place).collect();
    assert_eq!(command[..3], ["sudo", "-u", "runner"]);
    reader.done(&command[3..].join(" "), "", &[]).await;

    reader.write("rts-ticket", &ticket().await, 0o600);
    reader.write("machine-id", "5f0c\n", 0o644);
    let curl = lines[2].replace("/run/", &format!("{}/", reader.path("")));
    let curl = curl.replace("/etc/", &format!("{}/", reader.path("")));
    let answers = [reader.done(&curl, "", &[]).await, reader.done(&curl, "", &[]).await];
    let configs = answers.map(|answer| values(&answer).remove(0)["encoded_jit_config"].clone());
    assert!(configs[0].is_string() && configs[0] == configs[1], "{configs:?}");
    assert_eq!(world.count("SELECT count(*) FROM runners").await, 3);
}

#[tokio::test]
async fn commands_of_the_policy_guide_test_show_and_apply_a_file() {
    let reader = Reader::new().await;
    let world = &reader.world;
    let (root, grace) = (world.admin().await, world.user("grace", &[]).await);
    let guide = include_str!("../../docs/guides/policy-as-code.md");
    let lines = blocks(guide, "sh");
    let plan = values(&reader.done(lines[1], &root, &[]).await).remove(0);
    assert!(plan["plan"].is_string(), "{plan}");

    reader.write("teams.yaml", blocks(guide, "yaml")[0], 0o644);
    fs::create_dir(reader.path("teams")).unwrap();
    reader.write("teams/ml.yaml", "teams:\n  - name: ml\n", 0o644);
    let commands: Vec<&str> = lines[0].lines().collect();
    assert_eq!(commands.len(), 4);
    for (command, code) in commands.iter().zip([0, 7, 0, 0]) {
        // A reader says yes on their terminal.
        let yes = if command.contains(" apply ") && !command.contains("--yes") { " --yes" } else { "" };
        let output = reader.run(&format!("{command}{yes}"), &root, &[]).await;
        assert_eq!(output.status.code(), Some(code), "{command}\n{output:?}");
    }
    let teams = "SELECT count(*) FROM teams WHERE name IN ('web', 'ml')";
    assert_eq!(world.count(teams).await, 2);

    let explained = reader.run("rts explain --team web --label linux --label gpu-a100", &grace, &[]).await;
    let said = String::from_utf8(explained.stdout).unwrap();
    assert_eq!(explained.status.code(), Some(4), "{said}");
    let shown = guide.split("```\n").find(|block| block.starts_with("✔ label linux")).unwrap();
    for line in shown.lines().take(3) {
        assert!(said.contains(line.trim()), "{line}\n{said}");
    }
}

#[tokio::test]
async fn lines_for_admins_say_whose_a_token_is_and_what_an_incident_would_end() {
    let reader = Reader::new().await;
    let world = &reader.world;
    let team = world.team(team_draft("games-ci")).await;
    let (root, pipeline) = (world.admin().await, world.machine("pipeline", &team).await);
    let lines = blocks(include_str!("../../docs/guides/identity-providers.md"), "sh");
    let api = format!("{}/api/v1", world.url());
    let changes = [("API", api.as_str()), ("ADMIN_TOKEN", &root.token)];
    let whose = values(&reader.done(lines[0], &pipeline, &changes).await).remove(0);
    assert_eq!(whose["outcome"], "machine_client", "{whose}");

    let lines = blocks(include_str!("../../docs/operations/incidents.md"), "sh");
    let shown = values(&reader.done(lines[0], &root, &[]).await).remove(0);
    assert_eq!(shown["dry_run"], true, "{shown}");
    let active = "SELECT count(*) FROM teams WHERE name = 'games-ci' AND is_active";
    assert_eq!(world.count(active).await, 1, "nothing has ended");
}

#[test]
fn example_of_the_action_uses_inputs_and_outputs_that_it_has() {
    let action: Value = serde_saphyr::from_str(include_str!("../../actions/runner/action.yml")).unwrap();
    let example = blocks(include_str!("../../actions/runner/README.md"), "yaml")[0];
    let workflow: Value = serde_saphyr::from_str(example).unwrap();
    let job = &workflow["jobs"]["start"];
    assert_eq!(job["permissions"]["id-token"], "write");
    for (input, _) in job["steps"][0]["with"].as_object().unwrap() {
        assert!(action["inputs"].get(input).is_some(), "{input}");
    }
    let used = job["steps"][1]["run"].as_str().unwrap();
    let used = used.split("steps.runner.outputs.").nth(1).unwrap().split(' ').next().unwrap();
    assert!(action["outputs"].get(used).is_some(), "{used}");
}
