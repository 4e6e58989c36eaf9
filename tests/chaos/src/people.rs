//! Teams with and without a quota, and their callers.

use dev_issuer::Issuer;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::plan::Plan;

/// A team.
#[derive(Clone, Debug)]
pub(crate) struct Team {
    pub(crate) id: Uuid,
    pub(crate) name: &'static str,
    pub(crate) most: Option<i32>,
    /// Whether it is idle until the rush and then requests too many runners.
    pub(crate) floods: bool,
}

/// A caller with a token.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// Index of the team.
    pub(crate) team: usize,
    pub(crate) token: String,
}

/// The team that floods the queue; the last one, so that its callers are last too.
const FLOOD: (&str, Option<i32>) = ("flood", None);

/// The team of the caller that repeats the most expensive requests.
const ABUSER: (&str, Option<i32>) = ("greedy", Some(3));

/// All teams and callers.
pub(crate) struct Settled {
    pub(crate) teams: Vec<Team>,
    pub(crate) people: Vec<Person>,
    pub(crate) root: Person,
    pub(crate) abuser: Person,
}

/// Inserts the teams, two users and one machine client for each, and an admin.
pub(crate) async fn settle(sql: &PgPool, issuer: &Issuer, plan: &Plan) -> anyhow::Result<Settled> {
    let part = |share: usize| i32::try_from((plan.stories() / share).max(2)).ok();
    let teams: Vec<Team> =
        [("amber", part(12)), ("blue", part(40)), ("coral", Some(3)), ("drab", None), ("ebony", None), FLOOD]
            .into_iter()
            .map(|(name, most)| Team { id: Uuid::now_v7(), name, most, floods: name == FLOOD.0 })
            .collect();
    let mut people = Vec::new();
    let abuser = Team { id: Uuid::now_v7(), name: ABUSER.0, most: ABUSER.1, floods: false };
    let teams = [vec![abuser], teams].concat();
    for (nth, team) in teams.iter().enumerate() {
        let insert =
            "INSERT INTO teams (id, name, required_labels, max_runners) VALUES ($1, $2, ARRAY[$2], $3)";
        sqlx::query(insert).bind(team.id).bind(team.name).bind(team.most).execute(sql).await?;
        for member in ["ann", "ben"] {
            let sub = format!("{member}-{}", team.name);
            let id = user(sql, issuer, &sub, false).await?;
            let insert = "INSERT INTO team_members (team_id, user_id) VALUES ($1, $2)";
            sqlx::query(insert).bind(team.id).bind(id).execute(sql).await?;
            people.push(Person { team: nth, token: token(issuer, &sub)? });
        }
        let client = format!("machine-{}", team.name);
        let insert = "INSERT INTO oauth_clients (id, client_id, issuer, team_id) VALUES ($1, $2, $3, $4)";
        sqlx::query(insert)
            .bind(Uuid::now_v7())
            .bind(&client)
            .bind(issuer.url())
            .bind(team.id)
            .execute(sql)
            .await?;
        people.push(Person { team: nth, token: issuer.machine_token(&client)? });
    }
    user(sql, issuer, "root", true).await?;
    let root = Person { team: 0, token: token(issuer, "root")? };
    // The abuser's team is the first one; its callers do nothing else.
    let (mut abusers, people): (Vec<Person>, _) = people.into_iter().partition(|person| person.team == 0);
    let abuser = abusers.swap_remove(0);
    Ok(Settled { teams, people, root, abuser })
}

async fn user(sql: &PgPool, issuer: &Issuer, sub: &str, admin: bool) -> anyhow::Result<Uuid> {
    let id = Uuid::now_v7();
    let insert = "INSERT INTO users (id, email, issuer, subject, is_admin) VALUES ($1, $2, $3, $4, $5)";
    let insert = sqlx::query(insert).bind(id).bind(email(sub)).bind(issuer.url()).bind(sub).bind(admin);
    insert.execute(sql).await?;
    Ok(id)
}

fn token(issuer: &Issuer, sub: &str) -> anyhow::Result<String> {
    Ok(issuer.token(&json!({ "sub": sub, "email": email(sub), "email_verified": true, "name": sub }))?)
}

fn email(sub: &str) -> String {
    format!("{sub}@example.com")
}
