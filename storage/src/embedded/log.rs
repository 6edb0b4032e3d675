//! The log's contract, kept by the writer and by reads from snapshots.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::request::Request;
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::{Append, AppendOutcome, Log, Opened, ReadRange, SenderSlot, StoredEntry};

impl Log for EmbeddedStore {
    fn open<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Result<Opened, StoreError>> {
        async move {
            // Brings the head into the cache, so that the writer does not wait for it.
            let (cold, named) = (key.clone(), key.clone());
            self.reads.run(move |view| view.head(&cold)).await?;
            // Appends queued before are committed or refused by the time this returns, later ones need the epoch.
            let epoch = self.ask(|reply| Request::Fence(key.clone(), reply)).await?;
            let read = move |view: &super::view::View| {
                let head = view.head(&named)?;
                let (info, members) = (view.info(&named)?, view.members(&named)?);
                Ok(Opened { epoch, tip: head.tip, last_batch: head.last_batch, info, members })
            };
            self.reads.run(read).await
        }
        .boxed()
    }

    fn append(&self, append: Append) -> BoxFuture<'_, AppendOutcome> {
        let (reply, answer) = oneshot::channel();
        let submitted = self.queue.submit(Request::Append(append, reply));
        async move {
            match submitted {
                Err(error) => AppendOutcome::Refused(error),
                Ok(()) => answer.await.unwrap_or_else(|_| AppendOutcome::Unknown(self.unavailable())),
            }
        }
        .boxed()
    }

    fn sender<'a>(
        &'a self,
        key: &'a ConversationKey,
        device: u64,
    ) -> BoxFuture<'a, Result<Vec<SenderSlot>, StoreError>> {
        let key = key.clone();
        self.reads.run(move |view| view.senders(&key, device)).boxed()
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        range: ReadRange,
    ) -> BoxFuture<'a, Result<Vec<StoredEntry>, StoreError>> {
        let key = key.clone();
        self.reads.run(move |view| view.entries(&key, range)).boxed()
    }

    fn tip<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Result<u64, StoreError>> {
        let key = key.clone();
        self.reads.run(move |view| Ok(view.head(&key)?.tip)).boxed()
    }
}
