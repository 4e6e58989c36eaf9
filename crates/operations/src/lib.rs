//! Administrative operations: what a caller may change.
//!
//! Each operation takes the permission as a value ([`Administrator`]), is one transaction that ends with one audit row,
//! and then tells the queue. The HTTP API and the command line are its front ends.

mod administrator;
mod clients;
mod error;
mod members;
mod record;
mod revocation;
mod teams;
mod users;
mod validate;

pub use administrator::{Administrator, Operator};
pub use clients::ClientChange;
pub use error::{OperationError, Result};
pub use teams::TeamChange;
pub use users::UserChange;
pub use validate::{check_optional, check_text, is_email, settle};

use queue::Spine;
use store::Store;

/// The operations, on one database and one queue.
#[derive(Clone, Copy, Debug)]
pub struct Operations<'a> {
    store: &'a Store,
    spine: &'a Spine,
}

impl<'a> Operations<'a> {
    /// Operations on `store`, whose jobs `spine` carries.
    pub const fn new(store: &'a Store, spine: &'a Spine) -> Self {
        Self { store, spine }
    }
}
