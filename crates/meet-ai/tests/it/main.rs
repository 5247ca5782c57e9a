//! The binary as its users meet it: a process with arguments, an environment, files and signals,
//! against a real server or a hostile one. Nothing waits for time; everything waits for a line, a
//! request or an end.

mod exits;
mod fake;
mod flow;
mod listening;
mod machine;
mod secrets;
mod starting;
