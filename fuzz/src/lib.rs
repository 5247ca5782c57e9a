//! Random input for everything of meet-ai that reads what strangers send.
//!
//! The targets are tests, in `tests/it/`: a bounded number of tries with every `cargo test`, and as long as one
//! likes with `make fuzz`. Nothing here is built into the product.
