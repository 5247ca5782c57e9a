//! One module for each part that reads foreign input.

#![expect(clippy::unwrap_used, reason = "an input that breaks the target ends it")]

mod centrifuge;
mod frames;
mod front_door;
mod ids;
mod input;
mod livekit;
mod mentions;
mod names;
mod words;
