//! Pages of a list, one after the other.

use serde_json::Value;

use super::{ApiClient, Request};
use crate::error::ClientError;

/// Most items of one page.
pub(crate) const MAX_PAGE: usize = 1000;
/// Most pages of one list, so that a service that repeats itself cannot hold the command for ever.
const MAX_PAGES: usize = 100_000;

/// Reader of a list.
pub(crate) struct Pages<'a> {
    client: &'a ApiClient,
    request: Request,
    key: &'a str,
    cursor: Option<String>,
    read: usize,
    ended: bool,
    /// Total as the service counts it, with `true` if it is a lower bound.
    pub(crate) total: Option<(u64, bool)>,
}

impl<'a> Pages<'a> {
    /// Returns a reader of the list that `request` asks for, whose items are the member `key`.
    pub(crate) fn new(client: &'a ApiClient, request: Request, key: &'a str) -> Self {
        Self { client, request, key, cursor: None, read: 0, ended: false, total: None }
    }

    /// Returns the next page, or `None` after the last one.
    ///
    /// # Errors
    /// Those of [`ApiClient::send`], and [`ClientError::Failed`] for an answer that is no list.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Value>>, ClientError> {
        if self.ended || self.read >= MAX_PAGES {
            return Ok(None);
        }
        let request = self.request.clone().query("cursor", self.cursor.as_deref());
        let mut body = self.client.send(request).await?.body;
        self.read += 1;
        let total = body["total"].as_u64().map(|total| (total, body["total_is_lower_bound"] == true));
        self.total = self.total.or(total);
        let next = body["next_cursor"].as_str().map(str::to_owned);
        self.ended = next.is_none() || next == self.cursor;
        self.cursor = next;
        match body.get_mut(self.key).map(Value::take) {
            Some(Value::Array(items)) => Ok(Some(items)),
            _ => Err(ClientError::Failed(format!("the answer has no list {:?}", self.key))),
        }
    }
}
