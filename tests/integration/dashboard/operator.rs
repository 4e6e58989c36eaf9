//! Pages of operators: an admin at night, a viewer who may only look, a member who may not, each in a browser.

mod budget;
mod failures;
mod fleet;
mod jobs;
mod lanes;
mod questions;
mod workers;

use harness::{ApiResponse, Browser, Builder, Person, Team, World, eventually, provision_body, team_draft};
use uuid::Uuid;

/// A service with one team, and four browsers.
struct Night {
    world: World,
    red: Team,
    ada: Person,
    root: Person,
    admin: Browser,
    viewer: Browser,
    member: Browser,
    stranger: Browser,
}

impl Night {
    async fn with(builder: Builder) -> Self {
        let world = builder.start().await;
        let red = world.team(team_draft("red")).await;
        let (ada, root, vera) =
            (world.user("ada", &[&red]).await, world.admin().await, world.viewer("vera").await);
        Self {
            admin: world.sign_in(&root).await,
            viewer: world.sign_in(&vera).await,
            member: world.sign_in(&ada).await,
            stranger: world.browser(),
            red,
            ada,
            root,
            world,
        }
    }

    /// Returns the text of a page that the admin sees.
    async fn page(&self, path: &str) -> String {
        text_of(&self.admin.get(path).await.assert_status(200))
    }

    /// Sends a form that succeeds, follows it and returns the text of the next page.
    async fn press(&self, path: &str, form: &[(&str, &str)]) -> String {
        let answer = self.admin.post(path, form).await.assert_status(303);
        let next = answer.header("location").to_owned();
        text_of(&self.admin.get(&next).await.assert_status(200))
    }

    /// Checks that a page is for admins and viewers, and shows buttons to admins only.
    async fn is_for_overseers(&self, path: &str) {
        let seen = self.viewer.get(path).await.assert_status(200);
        let main = main_of(&seen);
        assert!(
            !main.contains("<button") || !main.contains(r#"method="post""#),
            "a viewer sees no action: {main}"
        );
        self.member.get(path).await.assert_status(403);
        self.is_for_signed_in(path).await;
    }

    /// Checks that a preview and its action are for admins.
    async fn is_for_admins(&self, path: &str, form: &[(&str, &str)]) {
        for browser in [&self.viewer, &self.member] {
            browser.get(path).await.assert_status(403);
            browser.post(path, form).await.assert_status(403);
        }
        self.is_for_signed_in(path).await;
        self.stranger.post(path, form).await.assert_status(401);
    }

    async fn is_for_signed_in(&self, path: &str) {
        let sent = self.stranger.get(path).await.assert_status(303);
        assert!(sent.header("location").starts_with("/sign-in?"), "{}", sent.header("location"));
    }

    /// Requests a runner and makes GitHub refuse it with this message. Returns its job.
    async fn refused_by_github(&self, message: &str) -> Uuid {
        self.world.refuse_next_runner(message);
        let asked = self.world.provision(&self.ada, provision_body("ci")).await;
        assert_eq!(self.world.until_final(&self.ada, asked.job).await["error"]["code"], "github_refused");
        asked.job
    }

    /// Requests runners until the window shows what the team used: claims before GitHub's first answer are in no window.
    async fn use_budget(&self) {
        eventually("the window shows the team", || async {
            let asked = self.world.provision(&self.ada, provision_body("ci")).await;
            self.world.until_final(&self.ada, asked.job).await;
            self.page("/budget").await.contains("Used by team").then_some(())
        })
        .await;
    }

    /// Returns the number of audit rows of a type by the admin.
    async fn audit_rows(&self, event_type: &str) -> u64 {
        let path = format!("/audit-logs?event_type={event_type}&user=root@example.com&success=true");
        self.world.get(&path, &self.root).await.assert_status(200).body["total"].as_u64().unwrap()
    }
}

/// Returns the content of a page without its frame.
fn main_of(page: &ApiResponse) -> &str {
    let (_, main) = page.text.split_once("<main").expect("a page");
    main.split_once("</main>").expect("a whole page").0
}

/// Returns the words of a page's content, with one space between them.
fn text_of(page: &ApiResponse) -> String {
    words_of(main_of(page)) + &notice_of(page)
}

/// Returns the sentence about a finished action.
fn notice_of(page: &ApiResponse) -> String {
    let notice =
        page.text.split_once(r#"class="notice""#).map(|(_, rest)| rest.split_once("</p>").unwrap().0);
    notice.map(|text| format!(" {}", words_of(text))).unwrap_or_default()
}

fn words_of(html: &str) -> String {
    let (mut text, mut inside) = (String::new(), true);
    for c in html.chars() {
        match c {
            '<' => {
                inside = true;
                text.push(' ');
            }
            '>' if inside => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    for (entity, plain) in [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")] {
        text = text.replace(entity, plain);
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // A tag before a sign is no space.
    [",", ".", ":", ";", "?"].iter().fold(text, |text, sign| text.replace(&format!(" {sign}"), sign))
}

/// Returns the fields that a form of the page sends along.
fn hidden_fields(page: &ApiResponse) -> Vec<(String, String)> {
    let plain = |text: &str| {
        text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#38;", "&")
    };
    let inputs = main_of(page).split(r#"<input type="hidden" name=""#).skip(1);
    inputs
        .map(|input| {
            let (name, rest) = input.split_once('"').unwrap();
            let value = rest.split_once(r#"value=""#).unwrap().1.split_once('"').unwrap().0;
            (name.to_owned(), plain(value))
        })
        .collect()
}

/// Returns the address of the first link on a page that begins with this path.
fn link_to(page: &ApiResponse, path: &str) -> String {
    let start = format!(r#"href="{path}"#);
    let (_, rest) =
        main_of(page).split_once(&start).unwrap_or_else(|| panic!("no link to {path}: {}", page.text));
    format!("{path}{}", rest.split_once('"').unwrap().0).replace("&#38;", "&").replace("&amp;", "&")
}
