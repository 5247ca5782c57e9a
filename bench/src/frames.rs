//! Reading what a WebSocket server sends, without a copy. Pure; it trusts the server to send whole, unmasked frames
//! without fragments, as ours does.

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'b> {
    /// A text.
    Text(&'b [u8]),
    /// Bytes.
    Binary(&'b [u8]),
    /// A ping that wants its bytes back.
    Ping(&'b [u8]),
    /// The end, with its code.
    Close(u16),
    /// Anything else.
    Other,
}

/// The first frame in `bytes` and how long it is; `None` while it is not complete.
pub(crate) fn first(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (&[kind, short], rest) = bytes.split_first_chunk::<2>()?;
    let (length, begin): (usize, usize) = match short & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(begin..begin.checked_add(length)?)?;
    let frame = match kind & 0x0f {
        1 => Frame::Text(payload),
        2 => Frame::Binary(payload),
        8 => Frame::Close(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))),
        9 => Frame::Ping(payload),
        _ => Frame::Other,
    };
    Some((frame, begin + length))
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    masked(10, &payload[..payload.len().min(125)])
}

/// A text or bytes for the server.
pub(crate) fn data(is_text: bool, payload: &[u8]) -> Vec<u8> {
    masked(if is_text { 1 } else { 2 }, payload)
}

/// A whole frame, masked with zeros.
fn masked(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    frame.push(0x80 | kind);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => frame.push(0x80 | length),
        (_, Ok(length)) => {
            frame.push(0xfe);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Where `"seq":` was found last: frames of one room look alike.
#[derive(Debug, Default)]
pub(crate) struct SeqReader {
    hint: usize,
}

impl SeqReader {
    const NAME: &'static [u8] = b"\"seq\":";

    /// The `seq` of a message's frame; `None` for any other frame.
    pub(crate) fn seq(&mut self, text: &[u8]) -> Option<u64> {
        if !text.starts_with(b"{\"id\":") {
            return None;
        }
        if text.get(self.hint..).is_none_or(|rest| !rest.starts_with(Self::NAME)) {
            self.hint = text.windows(Self::NAME.len()).position(|window| window == Self::NAME)?;
        }
        let digits = text[self.hint + Self::NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_once_it_is_complete() {
        let mut bytes = vec![0x81, 126, 0, 200];
        bytes.extend_from_slice(&[b'x'; 200]);
        assert_eq!(first(&bytes[..203]), None);
        assert_eq!(first(&bytes), Some((Frame::Text(&[b'x'; 200]), 204)));
        assert_eq!(first(&[0x88, 2, 0x03, 0xf5]), Some((Frame::Close(1013), 4)));
        assert_eq!(first(&[0x89, 0]), Some((Frame::Ping(b""), 2)));
        assert_eq!(first(&[0x81]), None);
    }

    #[test]
    fn a_frame_for_the_server_is_masked_and_tells_its_length() {
        assert_eq!(pong(b"ab"), [0x8a, 0x82, 0, 0, 0, 0, b'a', b'b']);
        assert_eq!(data(true, b"{}"), [0x81, 0x82, 0, 0, 0, 0, b'{', b'}']);
        assert_eq!(data(false, &[7; 200])[..8], [0x82, 0xfe, 0, 200, 0, 0, 0, 0]);
        assert_eq!(data(false, &vec![7; 70_000])[..10], [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }

    #[test]
    fn a_message_tells_its_seq_wherever_it_stands() {
        let mut reader = SeqReader::default();
        assert_eq!(reader.seq(br#"{"id":"a","seq":41,"content":"x"}"#), Some(41));
        assert_eq!(reader.seq(br#"{"id":"abc","seq":1042}"#), Some(1042));
        assert_eq!(reader.seq(br#"{"type":"hello","seq":7}"#), None);
    }
}
