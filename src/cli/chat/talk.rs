//! A person at a terminal.

mod news;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::bail;
use client::conversation::TYPING;
use client::v1::Member;
use client::{Ack, Client, Conversation, Event, Events, Invite, Message, RequestError, SendError, Sending};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use protocol::code::Code;
use tokio::sync::mpsc;

use super::input::{self, Input, Prompt};
use super::line::{self, Names};
use super::list::List;
use super::room::{self, Room};
use super::screen::Screen;
use super::word::{self, HELP, Word};

/// A wait for the next attempt that is worth a line.
const LONG_WAIT: Duration = Duration::from_secs(5);

type Sent = BoxFuture<'static, (String, Result<Ack, SendError>)>;

/// Runs until the person ends it, or the server does.
pub async fn run(client: Client, opened: Option<Conversation>) -> anyhow::Result<()> {
    let (screen, keyboard) = input::open()?;
    let events = client.events();
    let mut talk = Talk::new(client, screen, events);
    talk.welcome(opened).await;
    let mut inputs = keyboard.start(prompt_of(&talk.client, talk.room.as_ref()))?;
    let outcome = talk.run(&mut inputs).await;
    talk.finish().await;
    outcome
}

struct Talk {
    client: Client,
    screen: Screen,
    events: Events,
    list: List,
    names: Names,
    room: Option<Room>,
    sent: FuturesUnordered<Sent>,
    unread: HashMap<String, u64>,
    /// Who was online when last heard of.
    present: HashMap<String, bool>,
    online: bool,
    done: bool,
}

impl Talk {
    fn new(client: Client, screen: Screen, events: Events) -> Talk {
        Talk {
            client,
            screen,
            events,
            list: List::default(),
            names: Names::new(),
            room: None,
            sent: FuturesUnordered::new(),
            unread: HashMap::new(),
            present: HashMap::new(),
            online: true,
            done: false,
        }
    }

    async fn welcome(&mut self, opened: Option<Conversation>) {
        let user = line::plain(self.client.user());
        self.screen.show(&format!("Signed in as {user}. /help lists the commands."));
        self.show_list().await;
        match opened {
            Some(conversation) => self.open(conversation).await,
            None => self.screen.show("Type the number of a conversation, or /to USER."),
        }
    }

    async fn run(&mut self, inputs: &mut mpsc::Receiver<Input>) -> anyhow::Result<()> {
        while !self.done {
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(Input::Typing) => self.room.iter().for_each(|room| room.conversation.typing()),
                    Some(Input::Line(text, next)) => {
                        self.on_line(&text).await;
                        let prompt = prompt_of(&self.client, self.room.as_ref());
                        // Without a prompt the reader ends, which is right after /quit.
                        _ = if self.done { Err(prompt) } else { next.send(prompt) };
                    }
                    None => return Ok(()),
                },
                message = next(&mut self.room) => match message {
                    Ok(message) => self.on_message(&message).await,
                    Err(error) => self.on_room_end(error),
                },
                Some((text, result)) = self.sent.next() => self.on_sent(&text, result),
                event = self.events.next() => match event {
                    Some(event) => {
                        let back = matches!(event, Event::Connected { .. }) && !self.online;
                        self.on_event(event).await;
                        if back {
                            self.catch_up().await;
                        }
                    }
                    None => bail!("the connection has ended"),
                },
            }
        }
        Ok(())
    }

    /// What was sent is stored before the end.
    async fn finish(self) {
        let Talk { client, mut screen, room, sent, .. } = self;
        drop(room);
        let waiting = sent.len();
        client.close().await;
        let failed = sent.filter(|(_, result)| std::future::ready(result.is_err())).count().await;
        if waiting > 0 && failed > 0 {
            screen.show(&format!("! {failed} of your messages may not be stored"));
        }
    }
}

/// Lines typed.
impl Talk {
    async fn on_line(&mut self, text: &str) {
        let outcome = match word::read(text) {
            Word::Nothing => Ok(()),
            Word::Say(text) => self.say(text).await,
            Word::Help => self.tell(HELP),
            Word::List => {
                self.show_list().await;
                Ok(())
            }
            Word::Open(choice) => {
                let conversation = self.list.find(&self.client, &choice);
                self.open(conversation).await;
                Ok(())
            }
            Word::To(user) => {
                self.open(self.client.direct(&user)).await;
                Ok(())
            }
            Word::Reply(seq, text) => self.send(text, |to, text| to.reply(seq, text)),
            Word::Edit(seq, text) => self.send(text, |to, text| to.edit(seq, text)),
            Word::Recall(seq) => self.send(format!("/recall {seq}"), |to, _| to.recall(seq)),
            Word::Members => self.members().await,
            Word::Invite(user) => self.invite(user).await,
            Word::Leave => self.leave().await,
            Word::History => self.history().await,
            Word::Quit => {
                self.done = true;
                Ok(())
            }
            Word::Unknown(why) => self.tell(&why),
        };
        if let Err(error) = outcome {
            self.screen.show(&format!("! {error}"));
        }
    }

    /// Sends; without an open conversation a number chooses one.
    async fn say(&mut self, text: String) -> Result<(), RequestError> {
        if self.room.is_none() {
            if text.trim().parse::<usize>().is_ok_and(|number| number > 0) {
                let conversation = self.list.find(&self.client, text.trim());
                self.open(conversation).await;
                return Ok(());
            }
            return self.tell("No conversation is open: type a number of the list, or /to USER.");
        }
        self.send(text, |to, text| to.send(text))
    }

    fn send(
        &mut self,
        text: String,
        how: impl FnOnce(&Conversation, &str) -> Sending,
    ) -> Result<(), RequestError> {
        let Some(room) = &self.room else { return self.tell("No conversation is open.") };
        let sending = how(&room.conversation, &text);
        if !self.online {
            let shown = line::plain(&text);
            self.screen
                .show(&format!("… {shown}\n… not connected; it is sent as soon as the server is back"));
        }
        self.sent.push(Box::pin(async move { (text, sending.await) }));
        Ok(())
    }

    async fn open(&mut self, conversation: Conversation) {
        let id = conversation.id().to_owned();
        let title = self.list.title(&self.client, &id, &self.names);
        match Room::open(conversation, title).await {
            Ok((room, messages)) => self.enter(id, room, &messages).await,
            Err(error) if error.code() == Some(Code::NOT_FOUND) && id.parse::<usize>().is_ok() => {
                self.screen.show(&format!("! there is no {id}: the list has {}", self.list.len()));
            }
            Err(error) => self.screen.show(&format!("! {} cannot be opened: {error}", line::plain(&id))),
        }
    }

    async fn enter(&mut self, id: String, mut room: Room, messages: &[Message]) {
        let members = room.members().await.unwrap_or_default();
        self.learn(&members);
        self.unread.remove(&id);
        room.title = self.list.title(&self.client, &id, &self.names);
        self.screen.show(&format!("── {} ──", room.title));
        room::lines(messages, &self.client, &self.names).iter().for_each(|line| self.screen.show(line));
        let me = self.client.user();
        let online = members.iter().filter(|member| member.online && member.user != me);
        let online: Vec<String> = online.map(|member| line::name(&member.user, &self.names)).collect();
        if !online.is_empty() {
            self.screen.show(&format!("  online: {}", online.join(", ")));
        }
        if messages.is_empty() {
            self.screen.show("  nothing was said here yet");
        }
        self.room = Some(room);
        // Presence is a nicety: a conversation that cannot be watched yet is talked in all the same.
        _ = self.client.watch([id]).await;
    }

    fn learn(&mut self, members: &[Member]) {
        self.names.extend(members.iter().map(|member| (member.user.clone(), member.name.clone())));
        self.present.extend(members.iter().map(|member| (member.user.clone(), member.online)));
    }

    async fn show_list(&mut self) {
        match List::load(&self.client).await {
            Ok(list) => self.list = list,
            Err(error) => return self.screen.show(&format!("! your conversations: {error}")),
        }
        self.screen.show(&self.list.text(&self.names));
    }

    async fn members(&mut self) -> Result<(), RequestError> {
        let Some(room) = &self.room else { return self.tell("No conversation is open.") };
        let members = room.members().await?;
        self.screen.show(&room::roster(&members, &self.names));
        Ok(())
    }

    async fn invite(&mut self, user: String) -> Result<(), RequestError> {
        let Some(room) = &self.room else { return self.tell("No conversation is open.") };
        room.conversation.invite([Invite::new(user).with_history()]).await.map(drop)
    }

    async fn leave(&mut self) -> Result<(), RequestError> {
        let Some(room) = &self.room else { return self.tell("No conversation is open.") };
        room.conversation.leave().await?;
        self.screen.show(&format!("  you left {}", room.title));
        self.room = None;
        Ok(())
    }

    async fn history(&mut self) -> Result<(), RequestError> {
        let Some(room) = &mut self.room else { return self.tell("No conversation is open.") };
        let older = room.older().await?;
        if older.is_empty() {
            return self.tell("  this is the beginning");
        }
        room::lines(&older, &self.client, &self.names).iter().for_each(|line| self.screen.show(line));
        self.tell("  ── earlier messages end ──")
    }

    fn tell(&mut self, text: &str) -> Result<(), RequestError> {
        self.screen.show(text);
        Ok(())
    }
}

async fn next(room: &mut Option<Room>) -> Result<Message, Option<RequestError>> {
    match room {
        Some(room) => room.next().await,
        None => std::future::pending().await,
    }
}

fn prompt_of(client: &Client, room: Option<&Room>) -> Prompt {
    let user = line::plain(client.user());
    match room {
        Some(room) => Prompt { text: format!("{user} → {}> ", room.title), talks: true },
        None => Prompt { text: format!("{user}> "), talks: false },
    }
}
