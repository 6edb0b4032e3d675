//! The task that holds the conversations of some slots and performs what they want done.
//!
//! One conversation's events are handled one after the other; what takes time (opening, appending, reading a
//! sender's ring, raising cursors) runs beside each other for all of them and comes back as events.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use idgen::Clock;
use protocol::check::Refused;
use protocol::code::Code;
use protocol::v1::{self, server_frame};
use storage::log::{Opened, ReadRange};
use storage::{ConversationKey, Store, StoreError};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::conversation::Conversation;
use crate::conversation::action::{Action, Push};
use crate::conversation::event::{Event, ReplyTo, Request};
use crate::creations::Creations;
use crate::fanout::Fanout;
use crate::owners::{Asked, Inbox};
use crate::recent::Recent;
use crate::reply::{Replies, refused_by_store};
use crate::rounds::Rounds;
use crate::settle::{self, Unsettled};
use crate::slot_cache::{Cache, State};
use crate::strangers::Strangers;
use crate::tally::Tally;
use crate::tickets::Tickets;

/// Store operations of one task that run at once. Past it the task takes no more requests, so its inbox fills and
/// further ones are refused with OVERLOADED.
pub const MAX_RUNNING: usize = 1_024;

/// How often what was pushed lately is looked at, while there is any.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One slot task.
pub struct SlotTask {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    fanout: Fanout,
    replies: Replies,
    tickets: Arc<Tickets>,
    creations: Arc<Creations>,
    rounds: Arc<Rounds>,
    cache: Cache,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Conversations that were given up: what their logs hold has to be told yet.
    unsettled: Unsettled,
    /// What was pushed lately, and is told again.
    recent: Recent,
    strangers: Strangers,
    /// Looks at `recent`, and at `strangers`.
    alarm: Interval,
    /// Empty between events; kept for its memory.
    actions: Vec<Action>,
}

/// A store operation has come back to the conversation with this key and life.
struct Done {
    key: ConversationKey,
    life: u64,
    what: What,
}

enum What {
    Opened(Result<Found, StoreError>),
    Event(Event),
}

/// What is behind a key.
enum Found {
    /// And the tip that readers saw before: where the log ends beyond it, nobody was told.
    Log(Opened, u64),
    /// An empty log, which was not taken over: nobody pays a write for asking after what is not there.
    Nothing,
}

impl SlotTask {
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        fanout: Fanout,
        replies: Replies,
        tickets: Arc<Tickets>,
        creations: Arc<Creations>,
        rounds: Arc<Rounds>,
    ) -> SlotTask {
        let strangers = Strangers::new(fanout.peers());
        let mut alarm = tokio::time::interval(LOOK_EVERY);
        alarm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        SlotTask {
            store,
            clock,
            fanout,
            replies,
            tickets,
            creations,
            rounds,
            cache: Cache::default(),
            running: FuturesUnordered::new(),
            unsettled: Unsettled::default(),
            recent: Recent::default(),
            strangers,
            alarm,
            actions: Vec::new(),
        }
    }

    /// Others may read in `tally` what the task holds.
    pub fn tallied(self, tally: Arc<Tally>) -> SlotTask {
        SlotTask { cache: Cache::new(tally), ..self }
    }

    /// Serves the inbox until it ends, then finishes what is on its way.
    pub async fn run(mut self, mut inbox: Inbox) {
        loop {
            tokio::select! {
                biased;
                _ = self.alarm.tick(), if !self.recent.is_empty() || self.strangers.are_held() => {
                    let due = self.recent.due(Instant::now());
                    self.tell(due);
                    if self.strangers.are_held() {
                        self.strangers.let_go(&mut self.cache);
                    }
                }
                Ok(()) = self.strangers.changed() => self.strangers.let_go(&mut self.cache),
                // What comes back makes room for what comes in.
                Some(done) = self.running.next() => self.done(done),
                Some(key) = self.unsettled.next() => self.settle(key),
                asked = inbox.recv(), if self.running.len() < MAX_RUNNING => match asked {
                    Some(asked) => self.asked(asked),
                    None => break,
                },
            }
        }
        while let Some(done) = self.running.next().await {
            self.done(done);
        }
    }

    fn asked(&mut self, asked: Asked) {
        let Asked { key, request, share } = asked;
        // What has left the inbox takes no part of it.
        drop(share);
        match self.cache.get(&key).map(|held| (held.life, &mut held.state)) {
            // What is known to be absent is still so for what leaves no trace; anything else asks the store again.
            Some((_, State::Open(held))) if held.is_absent() && held.is_idle() && !request.is_passing() => {
                self.cache.remove(&key);
                self.open(key, request);
            }
            Some((life, State::Open(_))) => self.handle(&key, life, Event::Request(request)),
            Some((_, State::Opening(waiting))) => {
                if let Err(request) = waiting.push(request) {
                    self.refuse(request.to, Code::OVERLOADED);
                }
            }
            None => self.open(key, request),
        }
    }

    fn open(&mut self, key: ConversationKey, first: Request) {
        self.strangers.opened(&key);
        match self.cache.begin(key.clone(), first) {
            Ok(life) => self.find(key, life, false),
            Err(first) => self.refuse(first.to, Code::OVERLOADED),
        }
    }

    /// Opens a log; an empty one only if it is to be written.
    fn find(&mut self, key: ConversationKey, life: u64, takes_empty: bool) {
        let store = self.store.clone();
        self.running.push(Box::pin(async move {
            let found = match takes_empty {
                true => store.open(&key).await.map(|opened| Found::Log(opened, 0)),
                false => match store.tip(&key).await {
                    Ok(0) => Ok(Found::Nothing),
                    Ok(tip) => store.open(&key).await.map(|opened| Found::Log(opened, tip)),
                    Err(error) => Err(error),
                },
            };
            Done { key, life, what: What::Opened(found) }
        }));
    }

    fn done(&mut self, done: Done) {
        let Done { key, life, what } = done;
        match what {
            What::Event(event) => {
                self.fanout.samples().see(&key, &event, self.clock.unix_millis());
                self.handle(&key, life, event);
            }
            What::Opened(found) => self.found(key, life, found),
        }
    }

    fn found(&mut self, key: ConversationKey, life: u64, found: Result<Found, StoreError>) {
        let Some(held) = self.cache.alive(&key, life) else { return };
        let State::Opening(waiting) = &mut held.state else { return };
        match found {
            Ok(Found::Log(opened, seen)) => {
                let waiting = std::mem::take(&mut waiting.requests);
                let perhaps_untold = self.unsettled.forget(&key) || self.rounds.are_on() || opened.tip > seen;
                let heads = if perhaps_untold { settle::heads(&key, &opened) } else { Vec::new() };
                let has_room = self.cache.opened(&key, life, Conversation::new(key.clone(), opened));
                heads.into_iter().for_each(|head| self.push(&key, head));
                for request in waiting {
                    match has_room {
                        true => self.handle(&key, life, Event::Request(request)),
                        false => self.refuse(request.to, Code::OVERLOADED),
                    }
                }
            }
            Ok(Found::Nothing) => {
                let waiting = std::mem::take(&mut waiting.requests);
                self.found_nothing(key, life, waiting);
            }
            Err(error) => {
                let waiting = std::mem::take(&mut waiting.requests);
                self.cache.remove(&key);
                self.unsettled.again(&key);
                let refused = refused_by_store(error);
                waiting.into_iter().for_each(|request| self.refuse(request.to, refused.clone()));
            }
        }
    }

    /// Nobody has written here. The first of those who may create the conversation does, if not beyond the user's limit.
    fn found_nothing(&mut self, key: ConversationKey, life: u64, mut waiting: Vec<Request>) {
        if !waiting.iter().any(|request| request.may_create(&key)) {
            self.unsettled.forget(&key);
        }
        let mut created = false;
        waiting.retain(|request| {
            if created || !request.may_create(&key) {
                return true;
            }
            match self.may_create_now(&key, request) {
                Ok(()) => created = true,
                Err(error) => self.answer(request.to, server_frame::Body::Error(error)),
            }
            created
        });
        let Some(held) = self.cache.alive(&key, life) else { return };
        if created {
            let State::Opening(still) = &mut held.state else { return };
            still.requests = waiting;
            return self.find(key, life, true);
        }
        let absent = Opened { epoch: 0, tip: 0, last_batch: [0; 16], info: None, members: Vec::new() };
        held.state = State::Open(Box::new(Conversation::new(key.clone(), absent)));
        self.answer_absent(&key, life, waiting);
    }

    fn may_create_now(&self, key: &ConversationKey, request: &Request) -> Result<(), v1::Error> {
        match request.to {
            ReplyTo::Device(_) => self.creations.take(&key.tenant, &request.user),
            // A tenant's back-end knows how many it needs.
            ReplyTo::Node(_) => Ok(()),
        }
    }

    /// Opens a log that was given up, unless a request has done so.
    fn settle(&mut self, key: ConversationKey) {
        if !self.unsettled.holds(&key) {
            return;
        }
        // Its owner has opened the log, or makes rounds.
        if self.strangers.has(&key) {
            self.unsettled.forget(&key);
            return;
        }
        match self.cache.begin_for_nobody(key.clone()) {
            Some(life) => self.find(key, life, true),
            None => self.unsettled.again(&key),
        }
    }

    /// The same core says the same NOT_FOUND here as where the user is not a member. A direct conversation stays: its
    /// users may say what is not stored as often as they like without a look at the store.
    fn answer_absent(&mut self, key: &ConversationKey, life: u64, waiting: Vec<Request>) {
        let Some(mut held) = self.cache.remove(key) else { return };
        let State::Open(mut absent) = held.state else { return };
        let stays = waiting.iter().any(|request| request.is_passing() && request.is_of_its_user(key));
        let now = self.clock.unix_millis();
        let mut actions = std::mem::take(&mut self.actions);
        for request in waiting {
            absent.handle(Event::Request(request), now, &mut actions);
        }
        debug_assert!(absent.is_idle(), "nothing here creates the conversation");
        actions.drain(..).for_each(|action| self.perform(key, life, action));
        self.actions = actions;
        if stays {
            held.state = State::Open(absent);
            self.cache.put_back(key.clone(), held);
        }
    }

    fn handle(&mut self, key: &ConversationKey, life: u64, event: Event) {
        let Some(held) = self.cache.alive(key, life) else { return self.orphan(event) };
        let State::Open(conversation) = &mut held.state else { return self.orphan(event) };
        let mut actions = std::mem::take(&mut self.actions);
        conversation.handle(event, self.clock.unix_millis(), &mut actions);
        let forget = conversation.is_absent() && conversation.is_idle() && !conversation.is_direct();
        let grown = held.weigh();
        for action in actions.drain(..) {
            self.perform(key, life, action);
        }
        self.actions = actions;
        if forget {
            self.cache.remove(key);
        } else if grown {
            self.cache.grown(key);
        }
    }

    /// What comes to a conversation that was given up. Only a Mark, or a request behind the one that made it go,
    /// is still owed an answer.
    fn orphan(&self, event: Event) {
        match event {
            Event::Request(request) => self.refuse(request.to, Code::UNAVAILABLE),
            Event::CursorsRaised { mark, .. } => self.refuse(mark.to, Code::UNAVAILABLE),
            Event::SenderLoaded { .. }
            | Event::TargetLoaded { .. }
            | Event::Appended(_)
            | Event::Reopened(_) => {}
        }
    }

    fn perform(&mut self, key: &ConversationKey, life: u64, action: Action) {
        match action {
            Action::Reply { to, body } => self.answer(to, body),
            Action::Push(push) => self.push(key, push),
            Action::Drop => {
                tracing::debug!(conversation = %key, "ownership given up");
                self.cache.remove(key);
                self.unsettled.add(key);
            }
            Action::Append(append) => self
                .start(key, life, move |store, _| async move { Event::Appended(store.append(append).await) }),
            Action::Reopen => self
                .start(key, life, move |store, key| async move { Event::Reopened(store.open(&key).await) }),
            Action::LoadSender(device) => self.start(key, life, move |store, key| async move {
                Event::SenderLoaded { device, slots: store.sender(&key, device).await }
            }),
            Action::LoadTarget(seq) => self.start(key, life, move |store, key| async move {
                let (max_entries, max_bytes) = (1, usize::MAX);
                let one = ReadRange { first: seq, last: seq, backwards: false, max_entries, max_bytes };
                Event::TargetLoaded {
                    seq,
                    entry: store.read(&key, one).await.map(|read| read.into_iter().next()),
                }
            }),
            Action::RaiseCursors { mark, cursors } => self.start(key, life, move |store, key| async move {
                let cursors = store.raise_cursors(&key, &mark.user, cursors).await;
                Event::CursorsRaised { mark, cursors }
            }),
        }
    }

    fn push(&mut self, key: &ConversationKey, push: Push) {
        let early = self.recent.note(key, &push, Instant::now());
        self.fanout.push(key, push, self.clock.unix_millis());
        self.tell(early);
    }

    /// Tells again.
    fn tell(&mut self, heads: Vec<(ConversationKey, Push)>) {
        for (key, head) in heads {
            self.fanout.push(&key, head, self.clock.unix_millis());
        }
    }

    /// Starts a store operation whose end is an event of this conversation.
    fn start<W, F>(&mut self, key: &ConversationKey, life: u64, work: W)
    where
        W: FnOnce(Arc<dyn Store>, ConversationKey) -> F,
        F: Future<Output = Event> + Send + 'static,
    {
        let work = work(self.store.clone(), key.clone());
        let key = key.clone();
        self.running.push(Box::pin(async move { Done { key, life, what: What::Event(work.await) } }));
    }

    fn refuse(&self, to: ReplyTo, why: impl Into<Refused>) {
        self.answer(to, server_frame::Body::Error(why.into().error()));
    }

    fn answer(&self, to: ReplyTo, body: server_frame::Body) {
        match to {
            ReplyTo::Device(asker) => self.replies.body(asker, body),
            ReplyTo::Node(ticket) => self.tickets.answer(ticket, body),
        }
    }
}
