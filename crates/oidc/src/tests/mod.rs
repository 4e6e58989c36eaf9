//! Tests of token verification.

mod attacks;
mod claims;
mod fetching;
mod issuer;
