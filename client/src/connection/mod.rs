//! Connection to the service: URL, identity, requests, pages.

mod answer;
mod api_client;
mod audience;
mod credential_command;
mod credentials;
mod identity;
mod loopback;
mod pages;
mod private_file;
mod profiles;
mod provider;
mod target;

pub(crate) use answer::{Answer, WireProblem};
pub(crate) use api_client::{ApiClient, Request};
pub(crate) use credentials::{Credentials, NewCredential};
pub(crate) use identity::{Identity, check_token};
pub(crate) use loopback::{AuthorizationCode, Loopback};
pub(crate) use pages::{MAX_PAGE, Pages};
pub(crate) use private_file::{
    create_folder as create_private_folder, create_new as create_private_file, read_bounded,
    read_private as read_private_file, replace_at_once as replace_private_file_at_once,
};
pub(crate) use profiles::{Profile, Profiles, check_profile_name};
pub(crate) use provider::{Provider, SignInOffer, Tokens};
pub(crate) use target::{ServiceUrl, Target};
