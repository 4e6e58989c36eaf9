//! The incident switch: everything that a team, an issuer, a person or a machine client could still do ends at once.

use crate::string_enum::string_enum;

string_enum! {
    /// Kind of the target of an incident.
    IncidentKind {
        /// A team.
        Team = "team",
        /// All tokens of an issuer.
        Issuer = "issuer",
        /// A person.
        User = "user",
        /// A machine client.
        Client = "client",
    }
}

string_enum! {
    /// State of an incident.
    IncidentState {
        /// Access is being ended.
        Revoking = "revoking",
        /// Access has ended.
        Active = "active",
        /// Access is being restored.
        Undoing = "undoing",
        /// Access is restored.
        Undone = "undone",
    }
}

string_enum! {
    /// One change of an incident.
    IncidentItemKind {
        /// A team is deactivated.
        Team = "team",
        /// A person is deactivated.
        User = "user",
        /// A machine client is deactivated.
        Client = "client",
        /// The open requests and unread configs of a person end.
        RequestsOfUser = "requests_of_user",
        /// The open requests and unread configs of a machine client end.
        RequestsOfClient = "requests_of_client",
        /// An idle runner is removed.
        Runner = "runner",
    }
}

string_enum! {
    /// Outcome of one change.
    IncidentItemState {
        /// Not yet made.
        Waiting = "waiting",
        /// Made; a runner's removal is ordered.
        Done = "done",
        /// It was so before.
        Unchanged = "unchanged",
        /// Refused; the detail says why.
        Failed = "failed",
        /// Taken back.
        Undone = "undone",
    }
}
