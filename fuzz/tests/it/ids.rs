//! Ids and times: anything may come in, and what was read is written the same way again.

use bolero::check;
use meet_api::{RoomId, Timestamp};

use crate::input::{TRIES, text};

#[test]
fn an_id_that_was_read_is_written_the_same() {
    check!().with_iterations(TRIES).with_generator(text()).for_each(|raw| {
        if let Ok(id) = raw.parse::<RoomId>() {
            assert_eq!(&id.to_string(), raw);
        }
    });
    check!().with_iterations(TRIES).with_type::<u128>().for_each(|number| {
        let canonical = format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            number >> 96,
            (number >> 80) & 0xffff,
            (number >> 64) & 0xffff,
            (number >> 48) & 0xffff,
            number & 0xffff_ffff_ffff
        );
        assert_eq!(canonical.parse::<RoomId>().unwrap().to_string(), canonical);
        let upper = canonical.to_uppercase();
        assert!(upper == canonical || upper.parse::<RoomId>().is_err(), "{upper}");
    });
}

#[test]
fn every_time_reads_back_and_no_text_stops_the_parser() {
    check!().with_iterations(TRIES).with_type::<i64>().for_each(|millis| {
        let at = Timestamp::from_millis(*millis);
        assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
    });
    check!().with_iterations(TRIES).with_type::<(u16, u8, u8, u8, u8, u8, u32, i8)>().for_each(
        |(year, month, day, hour, minute, second, fraction, offset)| {
            let text =
                format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction}{offset:+03}:00");
            if let Ok(at) = text.parse::<Timestamp>() {
                assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at), "{text}");
            }
        },
    );
    check!().with_iterations(TRIES).with_generator(text()).for_each(|raw| {
        let _ = raw.parse::<Timestamp>();
    });
}
