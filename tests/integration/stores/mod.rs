//! PostgreSQL and Redis as large installations run them: a pooler, a replica for lists, passwords that change.
#![cfg(test)]

mod passwords;
mod pooler;
mod replica;

use std::{os::unix::fs::MetadataExt, path::Path};

use nix::unistd::{Uid, User, geteuid};

/// Settings of an API that one caller asks again and again until something has happened.
const ASKED_OFTEN: [(&str, &str); 2] =
    [("API_RATE_LIMIT_PER_MINUTE", "6000"), ("API_RATE_LIMIT_BURST", "1000")];

/// Returns the account that a folder belongs to, if this process is root: servers refuse to run as root.
fn owner_for_root(folder: &Path) -> Option<User> {
    let uid = std::fs::metadata(folder).unwrap().uid();
    if geteuid().is_root() { User::from_uid(Uid::from_raw(uid)).unwrap() } else { None }
}

/// Returns the folder of the sockets in a URL of the tests' PostgreSQL.
fn socket_folder(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    let host = url.query_pairs().find(|(name, _)| name == "host").map(|(_, folder)| folder.into_owned());
    host.expect("the servers of the tests are on a socket")
}
