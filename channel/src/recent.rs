//! What was pushed a moment ago, and is told again for whoever has missed the push. Pure.
//!
//! A push may be lost between this node and a connector, and the last message of a conversation has none behind it from
//! which a device could tell. So each conversation's tip is told again, three times; a connector that has seen the push lets
//! that end there, so that no device hears of it.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use hashbrown::HashMap;
use storage::ConversationKey;
use tokio::time::Instant;

use crate::conversation::Users;
use crate::conversation::action::{Except, Push, Telling};

/// From one telling of a conversation to the next. What is pushed meanwhile is told with it, so that each push is told
/// again within 9, 18 and 27 s: a link that is down for less than 9 s, once, loses no tail.
pub const AGAIN_AFTER: Duration = Duration::from_secs(9);
/// How often it is told again.
const TIMES: u8 = 3;
/// Most conversations of one task that are remembered. Of more the oldest is told at once, and not again.
pub const MAX_RECENT: usize = 1_024;
/// Most of one conversation's lists of users that are remembered, in the same way.
pub const MAX_LISTS: usize = 8;

/// The conversations of one task that were pushed to lately.
#[derive(Default)]
pub struct Recent {
    conversations: HashMap<ConversationKey, Vec<Told>>,
    /// When each is due. Every conversation stands here once, and later ones stand behind.
    queue: VecDeque<(Instant, ConversationKey)>,
}

/// What these users were told last.
struct Told {
    users: Users,
    seq: u64,
    except: Except,
    telling: Telling,
    left: u8,
}

impl Recent {
    /// Whether nothing is to be told again.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Notes a push; returns what there is no room for, which is told again at once.
    pub fn note(&mut self, key: &ConversationKey, push: &Push, now: Instant) -> Vec<(ConversationKey, Push)> {
        let mut early = Vec::new();
        if push.seq == 0 {
            return early;
        }
        if let Some(told) = self.conversations.get_mut(key) {
            merge(told, push);
            if told.len() > MAX_LISTS {
                early.push((key.clone(), told.remove(0).head(key)));
            }
            return early;
        }
        if self.conversations.len() == MAX_RECENT
            && let Some((_, oldest)) = self.queue.pop_front()
        {
            let told = self.conversations.remove(&oldest).unwrap_or_default();
            early.extend(told.iter().map(|told| (oldest.clone(), told.head(&oldest))));
        }
        self.conversations.insert(key.clone(), vec![Told::of(push)]);
        self.queue.push_back((now + AGAIN_AFTER, key.clone()));
        early
    }

    /// What is due.
    pub fn due(&mut self, now: Instant) -> Vec<(ConversationKey, Push)> {
        let mut due = Vec::new();
        while self.queue.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.queue.pop_front() else { break };
            let Some(told) = self.conversations.get_mut(&key) else { continue };
            due.extend(told.iter().map(|told| (key.clone(), told.head(&key))));
            told.retain_mut(|told| {
                told.left -= 1;
                told.left > 0
            });
            if told.is_empty() {
                self.conversations.remove(&key);
            } else {
                self.queue.push_back((now + AGAIN_AFTER, key));
            }
        }
        due
    }
}

impl Told {
    fn of(push: &Push) -> Told {
        let Push { users, seq, except, .. } = push;
        let telling = if push.telling == Telling::First { Telling::IfMissed } else { push.telling };
        Told { users: users.clone(), seq: *seq, except: except.clone(), telling, left: TIMES }
    }

    fn head(&self, key: &ConversationKey) -> Push {
        Push::head(key, self.users.clone(), self.seq, self.except.clone(), self.telling)
    }
}

/// A push stands for those before it, but not for users to whom it does not go: they have left.
fn merge(all: &mut Vec<Told>, push: &Push) {
    if push.telling == Telling::Anyway {
        return all.insert(0, Told::of(push));
    }
    let Some(last) = all.pop_if(|last| last.telling == Telling::IfMissed) else {
        return all.push(Told::of(push));
    };
    if !std::sync::Arc::ptr_eq(&last.users, &push.users) {
        let staying: HashSet<&str> = push.users.iter().map(|user| &**user).collect();
        let left: Users = last.users.iter().filter(|user| !staying.contains(&***user)).cloned().collect();
        if !left.is_empty() {
            let except = Except::Nobody;
            all.push(Told { users: left, except, telling: Telling::Anyway, left: TIMES, ..last });
        }
    }
    all.push(Told::of(push));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(users: &Users, seq: u64) -> Push {
        let key = ConversationKey::new("t", "c");
        Push::head(&key, users.clone(), seq, Except::Nobody, Telling::First)
    }

    fn users(names: &[&str]) -> Users {
        names.iter().map(|name| (*name).into()).collect()
    }

    fn said(due: Vec<(ConversationKey, Push)>) -> Vec<(String, u64, usize)> {
        due.into_iter()
            .map(|(key, push)| (key.conversation.to_string(), push.seq, push.users.len()))
            .collect()
    }

    fn said_of(seq: u64, users: usize) -> Vec<(String, u64, usize)> {
        vec![("c".into(), seq, users)]
    }

    #[test]
    fn a_tip_is_told_three_times_and_forgotten() {
        let (key, both, t) = (ConversationKey::new("t", "c"), users(&["a", "b"]), Instant::now());
        let mut recent = Recent::default();
        assert!(recent.note(&key, &push(&both, 3), t).is_empty());
        assert!(recent.due(t + AGAIN_AFTER - Duration::from_millis(1)).is_empty());
        recent.note(&key, &push(&both, 4), t + AGAIN_AFTER / 2);
        assert_eq!(said(recent.due(t + AGAIN_AFTER)), said_of(4, 2));
        assert_eq!(said(recent.due(t + AGAIN_AFTER)), []);
        // What comes meanwhile is told as often from then on.
        recent.note(&key, &push(&both, 5), t + AGAIN_AFTER);
        for round in 2..=4 {
            assert_eq!(said(recent.due(t + AGAIN_AFTER * round)), said_of(5, 2));
        }
        assert!(recent.is_empty() && recent.conversations.is_empty());
    }

    #[test]
    fn what_is_not_stored_is_not_told_again() {
        let (key, both, t) = (ConversationKey::new("t", "c"), users(&["a", "b"]), Instant::now());
        let mut recent = Recent::default();
        recent.note(&key, &push(&both, 0), t);
        assert!(recent.is_empty());
    }

    #[test]
    fn who_has_left_is_told_the_leaving() {
        let (key, t) = (ConversationKey::new("t", "c"), Instant::now());
        let (all, rest) = (users(&["a", "b", "c"]), users(&["a", "c"]));
        let mut recent = Recent::default();
        recent.note(&key, &push(&all, 5), t);
        recent.note(&key, &push(&rest, 6), t);
        recent.note(&key, &push(&rest, 7), t);
        let due = recent.due(t + AGAIN_AFTER);
        assert_eq!(
            due.iter().map(|(_, head)| head.telling).collect::<Vec<_>>(),
            [Telling::Anyway, Telling::IfMissed]
        );
        assert_eq!(due[0].1.users[..], [std::sync::Arc::from("b")]);
        assert_eq!(said(due), [said_of(5, 1), said_of(7, 2)].concat());
    }

    #[test]
    fn what_there_is_no_room_for_is_told_at_once() {
        let (both, t) = (users(&["a", "b"]), Instant::now());
        let mut recent = Recent::default();
        let name = |n: usize| ConversationKey::new("t", n.to_string());
        (0..MAX_RECENT).for_each(|n| assert!(recent.note(&name(n), &push(&both, 1), t).is_empty()));
        assert_eq!(said(recent.note(&name(MAX_RECENT), &push(&both, 1), t)), [("0".to_owned(), 1, 2)]);
        let mut early = Vec::new();
        for seq in 2..MAX_LISTS as u64 + 4 {
            let leaving = users(&["b", &format!("c{seq}")]);
            early.extend(said(recent.note(&name(1), &push(&leaving, seq), t)));
        }
        assert_eq!(early[0], ("1".to_owned(), 1, 1));
        assert_eq!(recent.conversations[&name(1)].len(), MAX_LISTS);
    }
}
