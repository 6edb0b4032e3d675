//! What an error of the driver means here: why a store is not opened, and whether a write may have been done.

use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError,
    MetadataError, NewSessionError, PrepareError, RequestAttemptError,
};

use crate::cql::tables::CasError;
use crate::error::StoreError;

/// Why a store on a cluster is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the keyspace {0:?} is not one word of lower-case letters, digits and underscores, at most 48")]
    KeyspaceName(String),
    #[error("no node of the store answers at {points}: {reason}")]
    Unreachable { points: String, reason: String },
    #[error("the store refuses the user name or the password")]
    Credentials,
    #[error("the store has no keyspace {0} yet: run whimbrel store migrate")]
    KeyspaceMissing(String),
    #[error("the keyspace {0} has no tables of whimbrel yet: run whimbrel store migrate")]
    SchemaMissing(String),
    #[error("the store has schema {stored}, this program needs {needed}: run whimbrel store migrate")]
    SchemaOlder { stored: u32, needed: u32 },
    #[error("the store has schema {stored}, this program knows {known}: it was made by a later version")]
    SchemaNewer { stored: u32, known: u32 },
    #[error("another process has been changing the schema for {0:?}")]
    Migrating(std::time::Duration),
    #[error("the store refused {doing}: {reason}")]
    Refused { doing: String, reason: String },
}

impl OpenError {
    pub(super) fn refused(doing: &str, reason: impl std::fmt::Display) -> OpenError {
        OpenError::Refused { doing: doing.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn of_session(points: &[String], error: &NewSessionError) -> OpenError {
        if let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(pool)) = error
            && is_refusal_of_user(pool)
        {
            return OpenError::Credentials;
        }
        OpenError::Unreachable { points: points.join(", "), reason: error.to_string() }
    }
}

fn is_refusal_of_user(error: &ConnectionPoolError) -> bool {
    use ConnectionSetupRequestErrorKind as Kind;
    let ConnectionPoolError::Broken { last_connection_error } = error else { return false };
    let ConnectionError::ConnectionSetupRequestError(setup) = last_connection_error else { return false };
    let refused =
        matches!(setup.error, Kind::DbError(DbError::AuthenticationError | DbError::Unauthorized, _));
    refused || matches!(setup.error, Kind::MissingAuthentication | Kind::StartAuthSessionError(_))
}

/// What the user may not do, if that is why a request failed: waiting does not help.
pub(super) fn lacks_right(error: &ExecutionError) -> Option<&str> {
    match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Unauthorized, why)) => {
            Some(why)
        }
        _ => None,
    }
}

/// Of a read or a plain write: it may be tried again.
pub(super) fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// Of rows that are not what the schema says.
pub(super) fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

pub(super) fn of_prepare(error: &PrepareError) -> OpenError {
    OpenError::refused("to prepare a statement", error)
}

/// Of a conditional write. What is not known to have ended before a proposal is unknown.
pub(super) fn of_conditional(error: &ExecutionError) -> CasError {
    let is_not_sent = match error {
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_) => true,
        ExecutionError::LastAttemptError(attempt) => was_refused_before(attempt),
        _ => false,
    };
    if is_not_sent { CasError::NotSent(unavailable(error)) } else { CasError::Unknown(error.to_string()) }
}

/// Whether the request ended before anything was proposed.
fn was_refused_before(attempt: &RequestAttemptError) -> bool {
    match attempt {
        RequestAttemptError::SerializationError(_)
        | RequestAttemptError::CqlRequestSerialization(_)
        | RequestAttemptError::UnableToAllocStreamId => true,
        RequestAttemptError::DbError(error, _) => match error {
            DbError::SyntaxError
            | DbError::Invalid
            | DbError::Unauthorized
            | DbError::AuthenticationError
            | DbError::ConfigError
            | DbError::IsBootstrapping => true,
            // A round begins with counting the replicas for the serial consistency. The same error with the other
            // consistency comes from its last step, behind the proposal.
            DbError::Unavailable { consistency, .. } => consistency.is_serial(),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use scylla::errors::WriteType;
    use scylla::statement::Consistency;

    use super::*;

    fn is_unknown(error: DbError) -> bool {
        let error = ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, String::new()));
        matches!(of_conditional(&error), CasError::Unknown(_))
    }

    #[test]
    fn what_may_have_been_proposed_is_unknown() {
        let unavailable = |consistency| DbError::Unavailable { consistency, required: 2, alive: 1 };
        let timeout = |write_type| DbError::WriteTimeout {
            consistency: Consistency::Serial,
            received: 1,
            required: 2,
            write_type,
        };
        assert!(!is_unknown(unavailable(Consistency::Serial)));
        assert!(!is_unknown(unavailable(Consistency::LocalSerial)));
        assert!(is_unknown(unavailable(Consistency::Quorum)));
        assert!(is_unknown(timeout(WriteType::Cas)) && is_unknown(timeout(WriteType::Simple)));
        assert!(is_unknown(DbError::ServerError) && is_unknown(DbError::Overloaded));
        // What the driver has no name for, such as Cassandra's CAS_WRITE_UNKNOWN.
        assert!(is_unknown(DbError::Other(0x1700)));
        assert!(!is_unknown(DbError::Invalid));
    }

    #[test]
    fn without_a_connection_nothing_is_sent() {
        let pool = ExecutionError::ConnectionPoolError(ConnectionPoolError::Initializing);
        assert!(matches!(of_conditional(&pool), CasError::NotSent(StoreError::Unavailable(_))));
        let late = ExecutionError::RequestTimeout(std::time::Duration::from_secs(1));
        assert!(matches!(of_conditional(&late), CasError::Unknown(_)));
    }
}
