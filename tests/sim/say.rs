//! Frames in words.

use protocol::v1::client_frame::Body as Asked;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{ClientFrame, Message, Relation, ServerFrame};

/// What a device says.
pub fn client(frame: &ClientFrame) -> String {
    let body = match &frame.body {
        None => "nothing".to_owned(),
        Some(Asked::Send(send)) => {
            let to = if send.to_user.is_empty() { &send.conversation } else { &send.to_user };
            let after = if send.after.is_empty() { "" } else { " after another" };
            let what = meaning(send.relation.as_ref(), send.hidden);
            format!("Send{what} {} to {to}{after}", id(&send.client_msg_id))
        }
        Some(Asked::Sync(sync)) => {
            let ranges = sync.ranges.iter().map(|r| {
                let way = if r.backwards { "down" } else { "up" };
                format!("{} from {} {way}", r.conversation, r.from)
            });
            format!("Sync {}", ranges.collect::<Vec<_>>().join(", "))
        }
        Some(Asked::Mark(mark)) => {
            format!("Mark {} read {} delivered {}", mark.conversation, mark.read, mark.delivered)
        }
        Some(Asked::CreateConversation(create)) => {
            let users: Vec<&str> = create.members.iter().map(|member| member.user.as_str()).collect();
            format!("CreateConversation with {}", users.join(" "))
        }
        Some(Asked::ChangeMembers(change)) => {
            let add: Vec<&str> = change.add.iter().map(|member| member.user.as_str()).collect();
            format!("ChangeMembers {} add {add:?} remove {:?}", change.conversation, change.remove)
        }
        Some(Asked::Hello(hello)) => match &hello.resume {
            Some(resume) => format!("Hello, resume behind {}", resume.last_seq),
            None => "Hello".to_owned(),
        },
        Some(other) => short(&format!("{other:?}")),
    };
    tagged(&[("ack", frame.ack), ("id", frame.id)], body)
}

/// What the gateway says.
pub fn server(frame: &ServerFrame) -> String {
    let body = match &frame.body {
        None => "nothing".to_owned(),
        Some(Told::Message(message)) => format!("Message {} {}", message.conversation, entry(message)),
        Some(Told::SendAck(ack)) => {
            let again = if ack.duplicate { " again" } else { "" };
            format!("SendAck {} #{} {}{again}", ack.conversation, ack.seq, id(&ack.client_msg_id))
        }
        Some(Told::Head(head)) => format!("Head {} #{}", head.conversation, head.tip),
        Some(Told::SyncResult(result)) => {
            let ranges = result.ranges.iter().map(|r| match &r.error {
                Some(error) => format!("{} error {}", r.conversation, error.code),
                None => {
                    let more = if r.has_more { " and more" } else { "" };
                    let count = r.messages.len();
                    format!("{} {}..{} of {} ({count}){more}", r.conversation, r.first, r.last, r.tip)
                }
            });
            format!("SyncResult {}", ranges.collect::<Vec<_>>().join(", "))
        }
        Some(Told::Cursor(cursor)) => format!(
            "Cursor {} {} read {} delivered {}",
            cursor.conversation, cursor.user, cursor.read, cursor.delivered
        ),
        Some(Told::Conversations(page)) => format!("ConversationPage of {}", page.conversations.len()),
        Some(Told::Welcome(welcome)) => {
            format!("Welcome {:?} device {:x}", welcome.outcome(), welcome.device_id)
        }
        Some(Told::Error(error)) => format!("Error {} {}", error.code, error.message),
        Some(Told::GoAway(away)) => format!("GoAway {} {}", away.code, away.reason),
        Some(other) => short(&format!("{other:?}")),
    };
    tagged(&[("push", frame.session_seq), ("re", frame.re)], body)
}

fn entry(message: &Message) -> String {
    let what = match &message.members_changed {
        Some(changed) => {
            let add: Vec<&str> = changed.added.iter().map(|member| member.user.as_str()).collect();
            format!("add {add:?} remove {:?}", changed.removed)
        }
        None => id(&message.client_msg_id) + &meaning(message.relation.as_ref(), message.hidden),
    };
    let bare = if message.recalled { " recalled" } else { "" };
    format!("#{} by {} {what}{bare}", message.seq, message.sender)
}

fn meaning(relation: Option<&Relation>, hidden: bool) -> String {
    match relation {
        Some(relation) => format!(" {} of #{}", relation.kind().as_str_name().to_lowercase(), relation.seq),
        None if hidden => " hidden".to_owned(),
        None => String::new(),
    }
}

/// The beginning of an id, enough to tell it from others.
pub fn id(bytes: &[u8]) -> String {
    bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn tagged(tags: &[(&str, u64)], body: String) -> String {
    let tags = tags.iter().filter(|(_, value)| *value != 0);
    tags.fold(body, |text, (name, value)| format!("{text} [{name} {value}]"))
}

fn short(text: &str) -> String {
    text.chars().take(120).collect()
}
