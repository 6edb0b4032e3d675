//! Lines typed at the prompt, on a thread of their own.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use parking_lot::Mutex;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};
use tokio::sync::{mpsc, oneshot};

use super::screen::{self, Screen};
use super::word::{self, Word};

/// Most keyboard events that wait. The thread types no faster than they are taken.
const INPUTS: usize = 8;
/// Least time between two notices of typing.
const TYPING_EVERY: Duration = Duration::from_secs(3);

/// What the keyboard brought.
pub enum Input {
    Typing,
    /// A whole line; the answer is the next prompt.
    Line(String, oneshot::Sender<Prompt>),
}

/// What stands in front of the line that is typed.
pub struct Prompt {
    pub text: String,
    /// A text typed here is sent, and then shown as the conversation has it: the typed copy goes.
    pub talks: bool,
}

/// A terminal that is not read yet.
pub struct Keyboard {
    editor: Editor<Typist, DefaultHistory>,
}

/// Opens the terminal. Lines are shown from now on, and read once the keyboard is started.
pub fn open() -> anyhow::Result<(Screen, Keyboard)> {
    let mut editor = Editor::new().context("the terminal cannot be used")?;
    let screen = Screen::new(editor.create_external_printer().context("the terminal cannot be used")?);
    Ok((screen, Keyboard { editor }))
}

impl Keyboard {
    /// Starts reading. The receiver ends with the input.
    pub fn start(mut self, prompt: Prompt) -> anyhow::Result<mpsc::Receiver<Input>> {
        let (inputs, receiver) = mpsc::channel(INPUTS);
        self.editor.set_helper(Some(Typist { inputs: inputs.clone(), last: Mutex::new(None) }));
        let reader = std::thread::Builder::new().name("prompt".into());
        reader
            .spawn(move || read(&mut self.editor, &inputs, prompt))
            .context("no thread could be started")?;
        Ok(receiver)
    }
}

fn read(editor: &mut Editor<Typist, DefaultHistory>, inputs: &mpsc::Sender<Input>, mut prompt: Prompt) {
    loop {
        let line = match editor.readline(&prompt.text) {
            Ok(line) => line,
            // Ctrl-C drops the line that is being typed, as in a shell.
            Err(ReadlineError::Interrupted) => {
                screen::write("/quit or Ctrl-D ends\n");
                continue;
            }
            Err(_) => break,
        };
        if prompt.talks && matches!(word::read(&line), Word::Say(_)) {
            let typed = format!("{}{line}", prompt.text);
            if let Some(rows) = editor.dimensions().and_then(|size| screen::rows(&typed, size)) {
                screen::erase(rows);
            }
        }
        if !line.trim().is_empty() {
            // A line that is not remembered is only not there to be recalled.
            _ = editor.add_history_entry(line.as_str());
        }
        let (answer, next) = oneshot::channel();
        if inputs.blocking_send(Input::Line(line, answer)).is_err() {
            break;
        }
        let Ok(next) = next.blocking_recv() else { break };
        prompt = next;
    }
    // The hinter holds a sender of its own, which would keep the receiver waiting.
    editor.set_helper(None);
}

/// Notices that somebody is typing.
struct Typist {
    inputs: mpsc::Sender<Input>,
    last: Mutex<Option<Instant>>,
}

impl Hinter for Typist {
    type Hint = String;

    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        let mut last = self.last.lock();
        let lately = last.is_some_and(|at| at.elapsed() < TYPING_EVERY);
        if !line.is_empty() && !line.starts_with('/') && !lately {
            *last = Some(Instant::now());
            // A notice of typing that finds no room is not worth waiting for.
            _ = self.inputs.try_send(Input::Typing);
        }
        None
    }
}

impl Completer for Typist {
    type Candidate = String;
}

impl Highlighter for Typist {}
impl Validator for Typist {}
impl Helper for Typist {}
