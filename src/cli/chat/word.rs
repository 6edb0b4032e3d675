//! Slash commands.

/// What `/help` prints.
pub const HELP: &str = "\
/list            your conversations, with what is unread
/open N          open one by its number in the list, or by its id
/to USER         talk with a user directly
/reply N TEXT    answer the message numbered N
/edit N TEXT     replace what your message N says
/recall N        take your message N back
/members         who is in this conversation
/invite USER     add a user, who can read what was said before
/leave           leave this conversation
/history         what was said earlier
/quit            end (or Ctrl-D); what you sent is stored first
//text           send a text that begins with a slash";

/// One line typed at the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    Nothing,
    Say(String),
    Help,
    List,
    Open(String),
    To(String),
    Reply(u64, String),
    Edit(u64, String),
    Recall(u64),
    Members,
    Invite(String),
    Leave,
    History,
    Quit,
    /// Not a command; the text says why.
    Unknown(String),
}

/// Reads a line.
pub fn read(line: &str) -> Word {
    let line = line.trim_end();
    let Some(command) = line.strip_prefix('/') else {
        return if line.trim().is_empty() { Word::Nothing } else { Word::Say(line.to_owned()) };
    };
    if command.starts_with('/') {
        return Word::Say(command.to_owned());
    }
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    let argument = rest.trim().to_owned();
    match (name, argument.is_empty()) {
        ("help" | "h" | "?", _) => Word::Help,
        ("list" | "l", _) => Word::List,
        ("open" | "o", false) => Word::Open(argument),
        ("to", false) => Word::To(argument),
        ("reply" | "edit" | "recall", _) => change(name, &argument),
        ("members", _) => Word::Members,
        ("invite", false) => Word::Invite(argument),
        ("leave", _) => Word::Leave,
        ("history", _) => Word::History,
        ("quit" | "q" | "exit", _) => Word::Quit,
        ("open" | "o", true) => Word::Unknown("/open needs a number or an id; /list shows them".into()),
        ("to" | "invite", true) => Word::Unknown(format!("/{name} needs a user")),
        _ => Word::Unknown(format!("there is no /{name}; /help lists the commands")),
    }
}

fn change(name: &str, argument: &str) -> Word {
    let (number, text) = argument.split_once(' ').unwrap_or((argument, ""));
    let text = text.trim().to_owned();
    match (name, number.parse(), text.is_empty()) {
        ("reply", Ok(seq), false) => Word::Reply(seq, text),
        ("edit", Ok(seq), false) => Word::Edit(seq, text),
        ("recall", Ok(seq), true) => Word::Recall(seq),
        ("recall", ..) => Word::Unknown("/recall needs the number of a message".into()),
        _ => Word::Unknown(format!("/{name} needs the number of a message and a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_words() {
        assert_eq!(read("  "), Word::Nothing);
        assert_eq!(read("hello /world "), Word::Say("hello /world".into()));
        assert_eq!(read("//shrug"), Word::Say("/shrug".into()));
        assert_eq!(read("/open  3"), Word::Open("3".into()));
        assert_eq!(read("/to bob"), Word::To("bob".into()));
        assert_eq!(read("/q"), Word::Quit);
        assert_eq!(read("/edit 7 so it is "), Word::Edit(7, "so it is".into()));
        assert_eq!(read("/reply 7 yes"), Word::Reply(7, "yes".into()));
        assert_eq!(read("/recall 7"), Word::Recall(7));
        for bad in ["/edit 7", "/edit x y", "/recall", "/recall 7 8", "/reply -1 x"] {
            assert!(matches!(read(bad), Word::Unknown(_)), "{bad}");
        }
        assert!(matches!(read("/invite"), Word::Unknown(why) if why.contains("user")));
        assert!(matches!(read("/nonsense"), Word::Unknown(_)));
    }
}
