//! The caller of an operation.

use domain::{AuditEntry, Caller, Origin, Principal};

/// An authorised caller and the request it sent.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// The caller.
    pub caller: &'a Caller,
    /// Origin of the request.
    pub origin: &'a Origin,
}

impl<'a> Actor<'a> {
    /// Returns an audit row of an action of the caller.
    pub(crate) fn entry(&self, event_type: &'static str) -> AuditEntry {
        AuditEntry::by(self.caller, self.origin, event_type)
    }

    /// Returns the principal a machine client used; `None` for people, who have only one.
    pub(crate) fn subject(&self) -> Option<&'a Principal> {
        self.caller.requester.client().map(|_| &self.caller.principal)
    }
}
