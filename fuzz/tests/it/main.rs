//! One module for each part that reads foreign input.

mod frames;
mod ids;
mod input;
mod mentions;
mod names;
mod words;
