//! Whether a client gets back what it missed.

use crate::message::{Publication, SubscribeResult};

use super::ask::{History, Position};

/// A subscription's beginning in a history.
#[derive(Debug, PartialEq)]
pub(super) struct Beginning {
    /// The part of the reply that speaks of the history.
    pub(super) result: SubscribeResult,
    /// The last offset that the client has or gets with the reply.
    pub(super) position: u64,
}

/// The client asked for [`REJECT_UNRECOVERED`](crate::code::REJECT_UNRECOVERED), and something is lost.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unrecoverable;

/// Where a subscription begins: behind `since` when the history goes on from there without a gap, at its end otherwise.
pub(super) fn begin(history: History, since: Option<&Position>, reject: bool) -> Result<Beginning, Unrecoverable> {
    let History { epoch, top, publications } = history;
    let result = SubscribeResult { recoverable: true, positioned: true, epoch, ..SubscribeResult::default() };
    let Some(since) = since else {
        return Ok(Beginning { result: SubscribeResult { offset: top, ..result }, position: top });
    };
    let result = SubscribeResult { was_recovering: true, ..result };
    let is_same_epoch = since.epoch.is_empty() || since.epoch == result.epoch;
    if is_same_epoch && is_whole(&publications, since.offset, top) {
        // The offset that was asked for: clients count on by the publications themselves.
        let result = SubscribeResult { recovered: true, offset: since.offset, publications, ..result };
        return Ok(Beginning { result, position: top });
    }
    if reject {
        return Err(Unrecoverable);
    }
    Ok(Beginning { result: SubscribeResult { offset: top, ..result }, position: top })
}

/// Whether the publications are everything from behind `since` to `top`.
fn is_whole(publications: &[Publication], since: u64, top: u64) -> bool {
    let offsets = publications.iter().map(|publication| publication.offset);
    since <= top && offsets.eq(since + 1..=top)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(top: u64, offsets: impl IntoIterator<Item = u64>) -> History {
        let publication = |offset| Publication { offset, ..Publication::default() };
        History { epoch: "now".into(), top, publications: offsets.into_iter().map(publication).collect() }
    }

    fn since(offset: u64, epoch: &str) -> Position {
        Position { offset, epoch: epoch.into() }
    }

    #[test]
    fn who_asks_for_nothing_begins_at_the_end() {
        let begun = begin(history(7, []), None, true).unwrap();
        assert_eq!((begun.result.offset, begun.position), (7, 7));
        assert!(!begun.result.was_recovering && !begun.result.recovered);
    }

    #[test]
    fn what_follows_without_a_gap_is_recovered() {
        for (asked, read) in
            [(since(4, "now"), 5..8), (since(4, ""), 5..8), (since(0, ""), 1..8), (since(7, "now"), 8..8)]
        {
            let begun = begin(history(7, read.clone()), Some(&asked), true).unwrap();
            assert!(begun.result.recovered && begun.result.was_recovering);
            assert_eq!((begun.result.offset, begun.position), (asked.offset, 7));
            assert_eq!(begun.result.publications.len(), read.count());
        }
    }

    #[test]
    fn anything_else_begins_at_the_end_or_is_refused() {
        for (asked, read) in [
            (since(4, "then"), vec![5, 6, 7]),
            (since(0, "_"), vec![]),
            (since(3, "now"), vec![5, 6, 7]),
            (since(4, "now"), vec![5, 6]),
            (since(4, "now"), vec![5, 7]),
            (since(8, "now"), vec![]),
            (since(u64::MAX, ""), vec![]),
        ] {
            let begun = begin(history(7, read.clone()), Some(&asked), false).unwrap();
            assert!(!begun.result.recovered && begun.result.was_recovering, "{asked:?}");
            assert_eq!((begun.result.offset, begun.position, begun.result.publications.len()), (7, 7, 0), "{asked:?}");
            assert_eq!(begin(history(7, read), Some(&asked), true), Err(Unrecoverable), "{asked:?}");
        }
    }
}
