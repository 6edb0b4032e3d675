//! The presence stream's contract, kept by the writer and by reads from snapshots.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::request::Request;
use crate::error::StoreError;
use crate::presence::{
    EventPage, PresenceChange, PresenceEvents, PresentPage, RecordOutcome, Standing, UserName,
};

impl PresenceEvents for EmbeddedStore {
    fn take<'a>(&'a self, tenant: &'a str) -> BoxFuture<'a, Result<u64, StoreError>> {
        let tenant = tenant.to_owned();
        self.ask(move |reply| Request::TakePresence { tenant, reply }).boxed()
    }

    fn record<'a>(
        &'a self,
        tenant: &'a str,
        epoch: u64,
        changes: Vec<PresenceChange>,
    ) -> BoxFuture<'a, RecordOutcome> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Record { tenant: tenant.to_owned(), epoch, changes, reply };
        let submitted = self.queue.submit(request);
        async move {
            match submitted {
                Err(error) => RecordOutcome::Refused(error),
                Ok(()) => answer.await.unwrap_or_else(|_| RecordOutcome::Unknown(self.unavailable())),
            }
        }
        .boxed()
    }

    fn events<'a>(
        &'a self,
        tenant: &'a str,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<EventPage, StoreError>> {
        let tenant = tenant.to_owned();
        self.reads.run(move |view| view.presence_events(&tenant, after, limit)).boxed()
    }

    fn standings<'a>(
        &'a self,
        tenant: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Standing>>, StoreError>> {
        let (tenant, users) = (tenant.to_owned(), users.to_vec());
        self.reads.run(move |view| users.iter().map(|user| view.standing(&tenant, user)).collect()).boxed()
    }

    fn present(
        &self,
        after: Option<UserName>,
        rows: usize,
    ) -> BoxFuture<'_, Result<PresentPage, StoreError>> {
        self.reads.run(move |view| view.present(after.as_ref(), rows)).boxed()
    }

    fn beat(&self, node: u64, at_ms: i64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ask(move |reply| Request::Beat { node, at_ms, reply }).boxed()
    }

    fn last_beat(&self, node: u64) -> BoxFuture<'_, Result<Option<i64>, StoreError>> {
        self.reads.run(move |view| view.last_beat(node)).boxed()
    }
}
