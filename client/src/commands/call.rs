//! `rts call`.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::values::{Fields, pair};
use crate::{
    connection::{Pages, Request},
    error::ClientError,
    output::{Format, print::line},
    session::Session,
};

/// Most bytes of a body. The service takes 64 KiB.
const MAX_BODY: u64 = 1024 * 1024;

/// Arguments of `rts call`.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// HTTP method.
    #[arg(value_parser = ["GET", "POST", "PUT", "PATCH", "DELETE"], ignore_case = true)]
    method: String,
    /// Path below /api/v1, with or without it.
    path: String,
    /// A text member of the body; for a GET, a query parameter. Repeat it.
    #[arg(short, long = "field", value_name = "NAME=VALUE", value_parser = pair)]
    fields: Vec<(String, String)>,
    /// A member of the body whose value is JSON. Repeat it.
    #[arg(short = 'F', long = "json-field", value_name = "NAME=JSON", value_parser = pair)]
    json_fields: Vec<(String, String)>,
    /// File with the whole body; `-` is stdin.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fields", "json_fields"])]
    input: Option<PathBuf>,
    /// Follow the pages of a list, and print its items one a line.
    #[arg(long)]
    paginate: bool,
}

/// Runs the command.
pub(crate) async fn run(session: &Session, args: CallArgs) -> Result<(), ClientError> {
    let method = Method::from_bytes(args.method.to_uppercase().as_bytes())
        .map_err(|_| ClientError::Usage("no such method".to_owned()))?;
    let mut request = Request::new(method.clone(), session.client.url.raw(&args.path)?);
    let body = read_body(&args)?;
    if method == Method::GET {
        if body.is_some() || !args.json_fields.is_empty() {
            return Err(ClientError::Usage("a GET has query parameters (-f), and no body".to_owned()));
        }
        for (name, value) in &args.fields {
            request = request.query(name, Some(value));
        }
    } else if let Some(body) = body {
        request = request.json(body);
    }
    if args.paginate {
        return paginate(session, request).await;
    }
    let answer = session.client.send(request).await?;
    match (&answer.body, session.format) {
        (Value::Null, _) => true,
        (Value::String(text), _) => line(text.trim_end()),
        (body, Format::Jsonl) => line(body),
        (body, _) => line(serde_json::to_string_pretty(body).unwrap_or_default()),
    };
    Ok(())
}

fn read_body(args: &CallArgs) -> Result<Option<Value>, ClientError> {
    if let Some(path) = &args.input {
        let fault =
            |error: &dyn std::fmt::Display| ClientError::Usage(format!("{}: {error}", path.display()));
        let mut text = String::new();
        let read = if path.as_os_str() == "-" {
            io::stdin().lock().take(MAX_BODY).read_to_string(&mut text)
        } else {
            File::open(path).and_then(|file| file.take(MAX_BODY).read_to_string(&mut text))
        };
        read.map_err(|error| fault(&error))?;
        return serde_json::from_str(&text).map(Some).map_err(|error| fault(&error));
    }
    let mut fields = Fields::default();
    for (name, value) in &args.fields {
        fields = fields.add(name, Some(value.as_str()));
    }
    for (name, text) in &args.json_fields {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| ClientError::Usage(format!("the value of {name} is not JSON: {error}")))?;
        fields = fields.add(name, Some(value));
    }
    let is_get = args.method.eq_ignore_ascii_case("GET");
    Ok((!is_get && !fields.is_empty()).then(|| fields.into_body()))
}

/// Prints the items of a list, whose member is the only one that is a list.
async fn paginate(session: &Session, request: Request) -> Result<(), ClientError> {
    let first = session.client.send(request.clone()).await?.body;
    let members = first.as_object().into_iter().flatten();
    let key = members.filter(|(_, value)| value.is_array()).map(|(name, _)| name.clone()).next();
    let key = key.ok_or_else(|| ClientError::Usage("the answer has no list to follow".to_owned()))?;
    let mut pages = Pages::new(&session.client, request, &key);
    while let Some(items) = pages.next().await? {
        if !items.iter().all(line) {
            break;
        }
    }
    Ok(())
}
