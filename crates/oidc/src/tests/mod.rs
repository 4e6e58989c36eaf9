mod attacks;
mod claims;
mod fetching;
mod issuer;
