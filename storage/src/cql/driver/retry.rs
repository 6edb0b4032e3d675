//! What is done with a read or a plain write that failed at one node.

use scylla::errors::{DbError, RequestAttemptError, WriteType};
use scylla::policies::retry::{DefaultRetryPolicy, RequestInfo, RetryDecision, RetryPolicy, RetrySession};
use scylla::statement::Consistency;

/// As the driver does by default, and once more elsewhere if a node has waited in vain for others: until the nodes agree
/// that one of them is gone, some of them still count on it.
#[derive(Debug)]
pub struct Elsewhere;

struct Session {
    usual: Box<dyn RetrySession>,
    was_late: bool,
}

impl RetryPolicy for Elsewhere {
    fn new_session(&self) -> Box<dyn RetrySession> {
        Box::new(Session { usual: DefaultRetryPolicy::new().new_session(), was_late: false })
    }
}

impl RetrySession for Session {
    fn decide_should_retry(&mut self, request: RequestInfo<'_>) -> RetryDecision {
        let RequestInfo { error, is_idempotent, consistency, .. } = request;
        if self.goes_elsewhere(error, is_idempotent, consistency) {
            return RetryDecision::RetryNextTarget(None);
        }
        self.usual.decide_should_retry(request)
    }

    fn reset(&mut self) {
        self.usual.reset();
        self.was_late = false;
    }
}

impl Session {
    fn goes_elsewhere(
        &mut self,
        error: &RequestAttemptError,
        is_idempotent: bool,
        consistency: Consistency,
    ) -> bool {
        let may_repeat = is_idempotent && !consistency.is_serial();
        may_repeat && is_late(error) && !std::mem::replace(&mut self.was_late, true)
    }
}

/// Replicas have not answered the node in time.
fn is_late(error: &RequestAttemptError) -> bool {
    let RequestAttemptError::DbError(error, _) = error else { return false };
    match error {
        DbError::ReadTimeout { .. } => true,
        DbError::WriteTimeout { write_type, .. } => {
            matches!(write_type, WriteType::Simple | WriteType::UnloggedBatch)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decisions(error: DbError, is_idempotent: bool, consistency: Consistency) -> [bool; 2] {
        let error = RequestAttemptError::DbError(error, String::new());
        let mut session = Session { usual: DefaultRetryPolicy::new().new_session(), was_late: false };
        [(); 2].map(|()| session.goes_elsewhere(&error, is_idempotent, consistency))
    }

    #[test]
    fn what_was_late_is_tried_once_elsewhere() {
        let consistency = Consistency::Quorum;
        let (received, required) = (1, 2);
        let read = || DbError::ReadTimeout { consistency, received, required, data_present: true };
        let write = |write_type| DbError::WriteTimeout { consistency, received, required, write_type };
        assert_eq!(decisions(read(), true, consistency), [true, false]);
        assert_eq!(decisions(write(WriteType::UnloggedBatch), true, consistency), [true, false]);
        assert_eq!(decisions(write(WriteType::Cas), true, consistency), [false, false]);
        assert_eq!(decisions(read(), false, consistency), [false, false]);
        assert_eq!(decisions(read(), true, Consistency::Serial), [false, false]);
    }
}
