//! Where findings and progress go, and which errors are findings.

use super::finding::{Fault, Finding};
use crate::error::StoreError;
use crate::inventory::Page;
use crate::key::ConversationKey;

/// What has been checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub conversations: u64,
    /// An entry that could not be read counts too.
    pub entries: u64,
    pub findings: u64,
}

/// What whoever waits for a check is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Found(Finding),
    /// So much has been checked.
    Progress(Checked),
}

/// Told at every finding and at every few hundred entries.
pub type Tell<'a> = dyn FnMut(News) + Send + 'a;

pub(super) struct Report<'t, 'a> {
    tell: &'t mut Tell<'a>,
    pub(super) checked: Checked,
    /// Entries of a conversation that are tracked at once.
    pub(super) tracked: u64,
    key: Option<ConversationKey>,
}

impl<'t, 'a> Report<'t, 'a> {
    pub(super) fn new(tell: &'t mut Tell<'a>, tracked: u64) -> Self {
        Self { tell, checked: Checked::default(), tracked, key: None }
    }

    /// What is found from now on belongs to this conversation.
    pub(super) fn begin(&mut self, key: &ConversationKey) {
        self.key = Some(key.clone());
    }

    pub(super) fn end(&mut self) {
        self.key = None;
        self.checked.conversations += 1;
        (self.tell)(News::Progress(self.checked));
    }

    /// So many more entries are checked.
    pub(super) fn entries(&mut self, count: u64) {
        self.checked.entries += count;
        (self.tell)(News::Progress(self.checked));
    }

    pub(super) fn found(&mut self, fault: Fault) {
        self.checked.findings += 1;
        (self.tell)(News::Found(Finding { key: self.key.clone(), fault }));
    }

    /// What was read; `None` if it is damaged, which is a finding. That the store does not answer is none.
    pub(super) fn readable<T>(
        &mut self,
        what: &str,
        read: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(StoreError::Corrupt(why)) => {
                self.found(Fault::Unreadable { what: what.to_owned(), why });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The same for a page, whose broken rows are findings.
    pub(super) fn page<T>(
        &mut self,
        what: &str,
        page: Result<Page<T>, StoreError>,
    ) -> Result<Option<Page<T>>, StoreError> {
        let Some(page) = self.readable(what, page)? else { return Ok(None) };
        for why in &page.broken {
            self.found(Fault::Unreadable { what: format!("a row of {what}"), why: why.clone() });
        }
        Ok(Some(page))
    }
}
