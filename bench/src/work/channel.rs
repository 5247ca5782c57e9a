//! The benchmarks of the Centrifugo client protocol, one module each; any server that speaks it can be measured.

use meet_centrifuge::Protocol;

pub(crate) mod fan_out;
pub(crate) mod idle;
pub(crate) mod paced;
pub(crate) mod presence;
pub(crate) mod storm;

/// Both forms, each measured for itself.
const PROTOCOLS: [Protocol; 2] = [Protocol::Json, Protocol::Protobuf];

/// One of two texts, by the form.
fn pick(protocol: Protocol, json: &'static str, protobuf: &'static str) -> &'static str {
    match protocol {
        Protocol::Json => json,
        Protocol::Protobuf => protobuf,
    }
}
