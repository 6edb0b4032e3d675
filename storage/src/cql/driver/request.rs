//! Requests: how many at once, page by page, and what a conditional one answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::response::PagingState;
use scylla::response::query_result::QueryResult;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::{corrupt, of_conditional, unavailable};
use super::statement::Profiles;
use super::value::Value;
use crate::cql::tables::CasError;
use crate::error::StoreError;

/// Requests that may wait for each that may be under way.
pub const WAITING_PER_REQUEST: usize = 16;

/// How long a serial read is tried again, and the longest pause before it is.
const SERIAL_PATIENCE: Duration = Duration::from_secs(1);
const SERIAL_PAUSE: Duration = Duration::from_millis(40);

/// A statement with its values.
pub struct Bound<'a> {
    pub statement: &'a PreparedStatement,
    pub values: Vec<Value<'a>>,
}

impl<'a> Bound<'a> {
    pub fn new(statement: &'a PreparedStatement, values: impl Into<Vec<Value<'a>>>) -> Bound<'a> {
        Bound { statement, values: values.into() }
    }
}

/// A session that takes so many requests at once and refuses what is too much.
pub struct Requests {
    pub session: Arc<Session>,
    under_way: Semaphore,
    waiting: AtomicUsize,
    most_waiting: usize,
}

impl Requests {
    pub fn new(session: Arc<Session>, at_once: usize) -> Requests {
        let at_once = at_once.max(1);
        Requests {
            session,
            under_way: Semaphore::new(at_once),
            waiting: AtomicUsize::new(0),
            most_waiting: at_once * WAITING_PER_REQUEST,
        }
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        if let Ok(permit) = self.under_way.try_acquire() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting, self.most_waiting).ok_or(StoreError::Overloaded)?;
        self.under_way.acquire().await.map_err(unavailable)
    }

    /// The rows of a read, at most `limit`, page by page.
    pub async fn rows<R>(&self, read: Bound<'_>, limit: usize) -> Result<Vec<R>, StoreError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let mut found = Vec::new();
        self.each_row(read, |row| {
            found.push(row);
            Ok(found.len() < limit)
        })
        .await?;
        Ok(found)
    }

    /// The only row of a read.
    pub async fn row<R>(&self, read: Bound<'_>) -> Result<Option<R>, StoreError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        Ok(self.rows(read, 1).await?.pop())
    }

    /// The only row of a serial read. It is tried again for a moment: where it meets a conditional write of somebody else on
    /// another node, Cassandra answers at once that it has timed out.
    pub async fn serial_row<R>(&self, read: Bound<'_>) -> Result<Option<R>, StoreError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let begun = Instant::now();
        loop {
            let values = read.values.clone();
            match self.row(Bound { statement: read.statement, values }).await {
                Err(StoreError::Unavailable(_)) if begun.elapsed() < SERIAL_PATIENCE => {
                    tokio::time::sleep(SERIAL_PAUSE.mul_f64(rand::random())).await;
                }
                ended => return ended,
            }
        }
    }

    /// Gives the rows of a read to `take` until that says no.
    pub async fn each_row<R>(
        &self,
        read: Bound<'_>,
        mut take: impl FnMut(R) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let mut state = PagingState::start();
        loop {
            let permit = self.permit().await?;
            let page = self.session.execute_single_page(read.statement, &read.values, state).await;
            drop(permit);
            let (page, next) = page.map_err(unavailable)?;
            let page = page.into_rows_result().map_err(corrupt)?;
            for row in page.rows::<R>().map_err(corrupt)? {
                if !take(row.map_err(corrupt)?)? {
                    return Ok(());
                }
            }
            match next.into_paging_control_flow() {
                std::ops::ControlFlow::Break(()) => return Ok(()),
                std::ops::ControlFlow::Continue(next) => state = next,
            }
        }
    }

    /// Plain writes of one partition, as one request.
    pub async fn write(&self, profiles: &Profiles, mut writes: Vec<Bound<'_>>) -> Result<(), StoreError> {
        let _permit = self.permit().await?;
        let done = if writes.len() == 1 {
            let Bound { statement, values } = writes.remove(0);
            self.session.execute_unpaged(statement, values).await
        } else {
            let (mut batch, values) = batch_of(writes);
            batch.set_is_idempotent(true);
            batch.set_execution_profile_handle(Some(profiles.plain.clone()));
            self.session.batch(&batch, values).await
        };
        done.map(drop).map_err(unavailable)
    }

    /// One conditional statement.
    pub async fn conditional(&self, bound: Bound<'_>) -> Result<Answer, CasError> {
        let _permit = self.permit().await.map_err(CasError::NotSent)?;
        Answer::of(self.session.execute_unpaged(bound.statement, bound.values).await)
    }

    /// Statements of one partition, of which one has a condition: all of them or none.
    pub async fn conditional_batch(
        &self,
        profiles: &Profiles,
        bound: Vec<Bound<'_>>,
    ) -> Result<Answer, CasError> {
        let _permit = self.permit().await.map_err(CasError::NotSent)?;
        let (mut batch, values) = batch_of(bound);
        batch.set_is_idempotent(false);
        batch.set_execution_profile_handle(Some(profiles.conditional.clone()));
        Answer::of(self.session.batch(&batch, values).await)
    }
}

fn batch_of(bound: Vec<Bound<'_>>) -> (Batch, Vec<Vec<Value<'_>>>) {
    let mut batch = Batch::new(BatchType::Unlogged);
    let values = bound.into_iter().map(|Bound { statement, values }| {
        batch.append_statement(statement.clone());
        values
    });
    let values = values.collect();
    (batch, values)
}

/// Somebody who waits.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Place<'a>> {
        let place = Place(waiting);
        // The place that is one too many is given back when it is dropped.
        (waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a conditional request answered. Cassandra tells the row only if the condition was false, Scylla always and once
/// for each statement, so columns are found by name.
pub struct Answer {
    pub is_applied: bool,
    columns: Vec<(String, Option<CqlValue>)>,
}

impl Answer {
    fn of(result: Result<QueryResult, ExecutionError>) -> Result<Answer, CasError> {
        let result = result.map_err(|error| of_conditional(&error))?;
        // It was executed; what cannot be read of the answer is unknown.
        Answer::read(result).map_err(|reason| CasError::Unknown(reason.to_string()))
    }

    fn read(result: QueryResult) -> Result<Answer, StoreError> {
        let rows = result.into_rows_result().map_err(corrupt)?;
        let names: Vec<String> = rows.column_specs().iter().map(|spec| spec.name().to_owned()).collect();
        let Row { columns } = rows.first_row().map_err(corrupt)?;
        let Some(Some(CqlValue::Boolean(is_applied))) = columns.first() else {
            return Err(corrupt("an answer that does not say whether the write was applied"));
        };
        Ok(Answer { is_applied: *is_applied, columns: names.into_iter().zip(columns).collect() })
    }

    fn column(&self, name: &str) -> Option<&CqlValue> {
        self.columns.iter().find(|(column, _)| column == name)?.1.as_ref()
    }

    pub fn big(&self, name: &str) -> Option<i64> {
        self.column(name)?.as_bigint()
    }

    pub fn small(&self, name: &str) -> Option<i16> {
        self.column(name)?.as_smallint()
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.column(name)?.as_text().map(String::as_str)
    }
}
