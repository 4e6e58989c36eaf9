//! The dashboard, through HTTP as a browser without scripts sees it.

mod board;
mod frame;
mod routes;
mod sessions;
mod signing_in;
