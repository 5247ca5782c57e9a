//! The binary as its users meet it: a process with arguments, an environment, files and signals,
//! against a real server or a hostile one. Nothing waits for time; everything waits for a line, a
//! request or an end.

#![expect(clippy::unwrap_used, reason = "a story ends where it goes wrong")]

mod demo;
mod executing;
mod exits;
mod fake;
mod flow;
mod joining;
mod listening;
mod machine;
mod mcp;
mod secrets;
mod skill;
mod starting;
mod taking_part;
