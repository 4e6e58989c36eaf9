//! Tests of token verification and of sign-ins.

mod attacks;
mod claims;
mod code_flow;
mod fetching;
mod issuer;
