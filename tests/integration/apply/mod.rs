//! Application of teams files.

#[cfg(test)]
mod consent;
#[cfg(test)]
mod export;
#[cfg(test)]
mod invalid;
#[cfg(test)]
mod ownership;
#[cfg(test)]
mod plan;

#[cfg(test)]
use harness::{Person, World};
#[cfg(test)]
use serde_json::{Value, json};

#[cfg(test)]
struct Scene {
    world: World,
    root: Person,
}

#[cfg(test)]
async fn scene() -> Scene {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    Scene { world, root }
}

#[cfg(test)]
impl Scene {
    /// Applies one document; `options` are further members of the body.
    async fn apply(&self, document: &Value, options: &Value) -> harness::ApiResponse {
        let mut body = json!({ "documents": [document] });
        body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        self.world.post("/admin/apply", &self.root, &body).await
    }

    /// Applies one document and returns the answer.
    async fn applied(&self, document: &Value, options: &Value) -> Value {
        self.apply(document, options).await.assert_status(200).body
    }

    /// Returns the rows that an application writes, as one text.
    async fn rows(&self) -> String {
        let sql = "SELECT concat_ws('|',
                (SELECT string_agg(t::text, ';' ORDER BY name) FROM (SELECT name, is_active, managed_by FROM teams) t),
                (SELECT string_agg(u::text, ';' ORDER BY email) FROM (SELECT email, is_active, managed_by FROM users) u),
                (SELECT count(*)::text FROM team_members), (SELECT count(*)::text FROM oauth_clients),
                (SELECT count(*)::text FROM audit_log WHERE success))";
        sqlx::query_scalar(sql).fetch_one(self.world.sql()).await.unwrap()
    }
}

/// Returns the planned changes as short texts.
#[cfg(test)]
fn changes(plan: &Value) -> Vec<String> {
    let text = |change: &Value, field: &str| change[field].as_str().unwrap_or_default().to_owned();
    let line = |change: &Value| {
        let team = change["team"].as_str().filter(|_| change["subject"] != "team");
        let team = team.map(|team| format!(" of {team}")).unwrap_or_default();
        format!("{} {} {}{team}", text(change, "action"), text(change, "subject"), text(change, "name"))
    };
    plan["changes"].as_array().unwrap().iter().map(line).collect()
}
