//! RealtimeKit against a double of its API.
