//! One command's connection and output.

use reqwest::Method;
use serde_json::Value;

use crate::{
    args::CommonArgs,
    connection::{Answer, ApiClient, Identity, Pages, Request, Target},
    environment::Environment,
    error::ClientError,
    output::{Format, ListWriter, Noun, Prompt, detail, print::line},
};

/// Most rows of a table, which has to be in memory as a whole.
const MAX_TABLE_ROWS: usize = 10_000;

/// How much of a list to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// Most items, or `None` for all of them.
    pub(crate) items: Option<usize>,
}

/// A command's connection, its output format and its questions.
pub(crate) struct Session {
    /// Client of the service.
    pub(crate) client: ApiClient,
    /// Output format.
    pub(crate) format: Format,
    /// Questions to the person at the terminal.
    pub(crate) prompt: Prompt,
    /// Environment variables.
    pub(crate) environment: Environment,
    /// Team of a request that names none.
    pub(crate) default_team: Option<String>,
}

impl Session {
    /// Opens a session: chooses service, identity and output. It sends nothing yet.
    ///
    /// # Errors
    /// [`ClientError::Usage`] without a service, [`ClientError::SignedOut`] without an identity.
    pub(crate) fn open(common: &CommonArgs) -> Result<Self, ClientError> {
        Self::with_identity(common, |found| found.map(Some))
    }

    /// Opens a session for a call that needs no token and takes one if there is one.
    ///
    /// # Errors
    /// [`ClientError::Usage`] without a service.
    pub(crate) fn open_with_or_without_token(common: &CommonArgs) -> Result<Self, ClientError> {
        Self::with_identity(common, |found| match found {
            Err(ClientError::SignedOut(_)) => Ok(None),
            found => found.map(Some),
        })
    }

    fn with_identity(
        common: &CommonArgs,
        choose: impl FnOnce(Result<Identity, ClientError>) -> Result<Option<Identity>, ClientError>,
    ) -> Result<Self, ClientError> {
        let environment = Environment::from_process();
        let target = Target::choose(&common.connection, &environment)?;
        let identity = choose(Identity::find(&common.connection, &environment, &target))?;
        let profile = target.profile.as_ref().map(|(_, profile)| profile);
        let format = common.output.or(profile.and_then(|profile| profile.output)).unwrap_or_default();
        let default_team = profile.and_then(|profile| profile.team.clone());
        let prompt = Prompt::new(&environment);
        let client = ApiClient::new(target.url, identity)?;
        Ok(Self { client, format, prompt, environment, default_team })
    }

    /// Returns the place that the token comes from.
    pub(crate) fn source(&self) -> String {
        self.client.identity().map(|identity| identity.source.to_string()).unwrap_or_default()
    }

    pub(crate) async fn get(&self, segments: &[&str]) -> Result<Value, ClientError> {
        Ok(self.client.get(segments).await?.body)
    }

    /// Sends a change with a JSON body.
    pub(crate) async fn change(
        &self,
        method: Method,
        segments: &[&str],
        body: Value,
    ) -> Result<Answer, ClientError> {
        self.client.send(self.client.request(method, segments).json(body)).await
    }

    /// Returns a request for a noun's list.
    pub(crate) fn list_request(&self, noun: &Noun) -> Request {
        self.client.request(Method::GET, noun.path)
    }

    /// Prints a list, page by page.
    pub(crate) async fn print_list(
        &self,
        noun: &Noun,
        request: Request,
        limit: Limit,
    ) -> Result<(), ClientError> {
        let most = if self.format.is_table() { MAX_TABLE_ROWS } else { usize::MAX };
        let mut left = limit.items.unwrap_or(most).min(most);
        let page = noun.paged.then(|| left.min(crate::connection::MAX_PAGE));
        let mut pages = Pages::new(&self.client, request.query("limit", page), noun.key);
        let mut writer = ListWriter::new(noun, self.format);
        while left > 0 {
            let Some(mut items) = pages.next().await? else { break };
            items.truncate(left);
            left -= items.len();
            if !writer.write(items) {
                return Ok(());
            }
        }
        writer.end(pages.total);
        Ok(())
    }

    /// Prints one thing with all its members.
    pub(crate) fn print_thing(&self, noun: &Noun, thing: &Value) {
        match self.format {
            Format::Table | Format::Wide => line(detail(thing)),
            Format::Name => line(crate::output::scalar(&thing[noun.name])),
            Format::Json => line(pretty(thing)),
            Format::Jsonl => line(thing),
        };
    }

    /// Prints a change: a sentence for people, the answer for programs.
    pub(crate) fn print_done(&self, noun: &Noun, thing: &Value, sentence: &str) {
        if self.format.is_table() {
            line(crate::output::plain(sentence));
        } else {
            self.print_thing(noun, thing);
        }
    }
}

fn pretty(thing: &Value) -> String {
    serde_json::to_string_pretty(thing).unwrap_or_else(|_| thing.to_string())
}
