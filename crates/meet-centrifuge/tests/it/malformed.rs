//! Frames that no command can be read from.

use bytes::Bytes;
use meet_centrifuge::Protocol;
use proptest::prelude::*;

/// How many commands are read before the frame makes no sense, and whether that ever happens.
fn read(protocol: Protocol, frame: &[u8]) -> (usize, bool) {
    let mut count = 0;
    for command in protocol.commands(Bytes::copy_from_slice(frame)) {
        if command.is_err() {
            return (count, true);
        }
        count += 1;
    }
    (count, false)
}

#[test]
fn a_malformed_frame_of_json_is_noticed_where_it_begins() {
    let frames: [(&[u8], usize); 9] = [
        (b"", 0),
        (b"\n", 0),
        (b"{}\n\n", 1),
        (b"{}\n{", 1),
        (b"[]", 0),
        (b"{}{}", 0),
        (b"{\"id\":-1}", 0),
        (b"{\"connect\":5}", 0),
        (b"\xff", 0),
    ];
    for (frame, before) in frames {
        assert_eq!(read(Protocol::Json, frame), (before, true), "{}", String::from_utf8_lossy(frame));
    }
}

#[test]
fn a_malformed_frame_of_protobuf_is_noticed_where_it_begins() {
    let frames: [(&[u8], usize); 6] = [
        (&[], 0),
        (&[1], 0),
        (&[0, 5, 8], 1),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 0),
        (&[2, 0x22, 9], 0),
        (&[2, 8, 0x80], 0),
    ];
    for (frame, before) in frames {
        assert_eq!(read(Protocol::Protobuf, frame), (before, true), "{frame:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        for protocol in [Protocol::Json, Protocol::Protobuf] {
            let (count, _) = read(protocol, &frame);
            prop_assert!(count <= frame.len());
        }
    }
}
