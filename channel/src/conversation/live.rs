//! What is not stored: messages for whoever is online, signals, and cursors on their way to the store.
//! All of it goes by the committed state.

use bytes::Bytes;
use prost::Message as _;
use protocol::check::{Refused, invalid};
use protocol::code::Code;
use protocol::names;
use protocol::splice;
use protocol::v1::relation::Kind;
use protocol::v1::server_frame::Body as Reply;
use protocol::v1::{self, Cursor, Message, SendAck, ServerFrame, SignalPush};
use storage::StoreError;
use storage::member::Cursors;

use super::action::{Action, Except, Push, Telling};
use super::event::{Marked, ReplyTo};
use super::send::not_there;
use super::{Conversation, MAX_MEMBERS_TOLD_CURSORS, Users, not_found, refuse, reply};
use storage::log::change_of;

impl Conversation {
    /// `after` and client_msg_id say nothing here: what is not stored is neither ordered nor recognised again.
    pub(super) fn send_unstored(
        &mut self,
        to: ReplyTo,
        user: &str,
        send: v1::Send,
        now_ms: i64,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refused> {
        if change_of(send.relation.as_ref()).is_some() {
            return Err(invalid("an edit or a recall is stored"));
        }
        let users = self.listeners(user).ok_or_else(not_found)?;
        if let Some(relation) = send.relation.filter(|relation| relation.kind == Kind::Reply as i32)
            && !self
                .members
                .active(user)
                .is_some_and(|row| row.may_see(relation.seq) && relation.seq <= self.tip)
        {
            return Err(not_there(relation.seq));
        }
        self.acknowledge_unstored(to, now_ms, send.client_msg_id.clone(), actions);
        let message = Message {
            at_ms: now_ms,
            sender: user.to_owned(),
            sender_device: to.device().unwrap_or(0),
            client_msg_id: send.client_msg_id,
            content: send.content,
            relation: send.relation,
            hidden: send.hidden,
            ..Message::default()
        };
        let frame = splice::push_frame(&self.key.conversation, &message.encode_to_vec());
        actions.push(Action::Push(Push {
            users,
            frame,
            seq: 0,
            except: except(&to),
            telling: Telling::First,
        }));
        Ok(())
    }

    pub(super) fn signal(
        &mut self,
        to: ReplyTo,
        user: String,
        signal: v1::Signal,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refused> {
        self.members.active(&user).ok_or_else(not_found)?;
        self.acknowledge_unstored(to, 0, Bytes::new(), actions);
        let conversation = self.key.conversation.to_string();
        let push = SignalPush { conversation, user: user.clone(), r#type: signal.r#type, data: signal.data };
        let (users, frame) = (self.members.users().clone(), frame(Reply::Signal(push)));
        actions.push(Action::Push(Push {
            users,
            frame,
            seq: 0,
            except: Except::User(user),
            telling: Telling::First,
        }));
        Ok(())
    }

    pub(super) fn mark(
        &mut self,
        to: ReplyTo,
        user: String,
        mark: v1::Mark,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refused> {
        let tip = self.members.active(&user).ok_or_else(not_found)?.visible_tip(self.tip);
        if !self.marks.begin(&user) {
            return Err(Code::OVERLOADED.into());
        }
        let cursors = Cursors { read: mark.read.min(tip), delivered: mark.delivered.min(tip), sent: 0 };
        actions.push(Action::RaiseCursors { mark: Marked { to, user }, cursors });
        Ok(())
    }

    pub(super) fn cursors_raised(
        &mut self,
        mark: Marked,
        cursors: Result<Cursors, StoreError>,
        actions: &mut Vec<Action>,
    ) {
        let Marked { to, user } = mark;
        let highest = self.marks.end(&user, cursors.as_ref().copied().unwrap_or_default());
        let cursors = match cursors {
            Ok(_) => highest,
            Err(error) => return refuse(actions, to, &error.code().into()),
        };
        let users: Users = if self.members.users().len() <= MAX_MEMBERS_TOLD_CURSORS {
            self.members.users().clone()
        } else {
            [user.as_str().into()].into()
        };
        let conversation = self.key.conversation.to_string();
        let cursor = Cursor { conversation, user, read: cursors.read, delivered: cursors.delivered };
        reply(actions, to, Reply::Cursor(cursor.clone()));
        let frame = frame(Reply::Cursor(cursor));
        actions.push(Action::Push(Push {
            users,
            frame,
            seq: 0,
            except: except(&to),
            telling: Telling::First,
        }));
    }

    /// Who hears what `user` says; `None` if the user may not speak. The two users of a direct conversation may
    /// before its first entry is written.
    fn listeners(&self, user: &str) -> Option<Users> {
        if self.tip == 0 {
            let peer = names::direct_peer(&self.key.conversation, user)?;
            return Some([user.into(), peer.into()].into());
        }
        self.members.active(user).map(|_| self.members.users().clone())
    }

    fn acknowledge_unstored(&self, to: ReplyTo, at_ms: i64, client_msg_id: Bytes, actions: &mut Vec<Action>) {
        let conversation = self.key.conversation.to_string();
        reply(
            actions,
            to,
            Reply::SendAck(SendAck { conversation, seq: 0, at_ms, duplicate: false, client_msg_id }),
        );
    }
}

fn frame(body: Reply) -> Bytes {
    ServerFrame { session_seq: 0, re: 0, body: Some(body) }.encode_to_vec().into()
}

/// Who gets the answer needs no push.
pub(super) fn except(to: &ReplyTo) -> Except {
    match to {
        ReplyTo::Device(asker) => Except::Session { device: asker.device, epoch: asker.epoch },
        ReplyTo::Node(_) => Except::Nobody,
    }
}
