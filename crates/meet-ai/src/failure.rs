//! How a command fails: a sentence for a person and an exit code for a program.

use std::{fmt, process::ExitCode};

use meet_api::ErrorCode;
use serde_json::json;

use crate::{
    invocation,
    output::{self, escape, escape_lines},
};

/// A command's failure.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    sentence: String,
    code: Option<ErrorCode>,
    hint: Option<String>,
}

/// The exit codes beside 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The server said no, or this machine did.
    Refused = 1,
    /// The command line or a setting is wrong.
    Usage = 2,
    /// No server answers.
    Unreachable = 3,
}

/// What a command gives back.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// Something was refused; the sentence says what and how to go on.
    pub(crate) fn refused(sentence: impl fmt::Display) -> Self {
        Self { exit: Exit::Refused, sentence: sentence.to_string(), code: None, hint: None }
    }

    /// The command line or a setting is wrong.
    pub(crate) fn usage(sentence: impl fmt::Display) -> Self {
        Self { exit: Exit::Usage, ..Self::refused(sentence) }
    }

    /// No server answers.
    pub(crate) fn unreachable(sentence: impl fmt::Display) -> Self {
        Self { exit: Exit::Unreachable, ..Self::refused(sentence) }
    }

    /// Adds the server's code, and with it what usually helps.
    pub(crate) fn with_code(self, code: ErrorCode) -> Self {
        let hint = match code {
            ErrorCode::MissingKey => Some(key_wanted()),
            ErrorCode::InvalidKey => {
                Some("the key is unknown to this server: check MEET_AI_KEY and MEET_AI_URL".into())
            }
            ErrorCode::RoomNotFound => Some(room_wanted()),
            _ => None,
        };
        Self { code: Some(code), hint, ..self }
    }

    /// Adds what this caller should know about it.
    pub(crate) fn with_hint(self, hint: String) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// The sentence.
    pub(crate) fn sentence(&self) -> &str {
        &self.sentence
    }

    /// Tells the failure on standard error, as JSON when that was asked for.
    pub(crate) fn report(&self, as_json: bool) {
        if as_json {
            let code = self.code.map(ErrorCode::as_str);
            output::event(&json!({ "event": "error", "error": self.sentence, "code": code, "hint": self.hint }));
            return;
        }
        output::note(&format!("error: {}", escape_lines(&self.sentence, "")));
        if let Some(hint) = &self.hint {
            output::note(&format!("hint: {}", escape(hint)));
        }
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

/// What to do without a key.
pub(crate) fn key_wanted() -> String {
    let make = invocation::command(&["generate-key"]);
    format!("set MEET_AI_KEY here or in ./.env, or make a key with `{make}`")
}

/// What to do when a room is not found.
pub(crate) fn room_wanted() -> String {
    format!("`{}` lists the rooms that this key reaches", invocation::command(&["rooms"]))
}

/// Refuses an argument without anything in it; `what` is its name in a sentence.
pub(crate) fn not_empty(what: &str, argument: &str) -> Outcome {
    if argument.trim().is_empty() { Err(Failure::usage(format!("{what} is missing: it is empty"))) } else { Ok(()) }
}
