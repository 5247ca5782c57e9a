//! The least HTTP/1.1 client that can load a server: one connection kept open, one request at a time.
//!
//! It knows only what our server answers with (a status line, a `Content-Length`, a body), so that the generator
//! costs little beside the server on the same cores.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{Outcome, target::Target};

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// One open connection.
pub(crate) struct Http {
    stream: TcpStream,
    fixed: String,
    name: String,
    buffer: Vec<u8>,
}

/// An answer whose status was the expected one.
pub(crate) struct Answer {
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A text field of the JSON object in the body.
    pub(crate) fn text(&self, name: &str) -> Outcome<String> {
        let value: Value = serde_json::from_slice(&self.body)?;
        value[name].as_str().map(str::to_owned).ok_or_else(|| format!("an answer without {name}").into())
    }

    /// A number in the JSON object in the body.
    pub(crate) fn number(&self, name: &str) -> Outcome<u64> {
        let value: Value = serde_json::from_slice(&self.body)?;
        value[name].as_u64().ok_or_else(|| format!("an answer without {name}").into())
    }
}

impl Http {
    /// Connects with the target's key.
    pub(crate) async fn connect(target: &Target) -> Outcome<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let fixed = format!("Host: {}\r\nAuthorization: Bearer {}\r\n", target.address, target.key);
        Ok(Self { stream, fixed, name: String::new(), buffer: Vec::with_capacity(CHUNK) })
    }

    /// From now on speaks as an agent of this name.
    pub(crate) fn speak_as(&mut self, name: &str) {
        self.name = format!("X-Meet-Name: {name}\r\nX-Meet-Kind: agent\r\n");
    }

    /// Asks, and takes the whole answer; any status but `expected` is an error.
    pub(crate) async fn call(&mut self, expected: u16, method: &str, path: &str, body: &str) -> Outcome<Answer> {
        let length = body.len();
        let Self { fixed, name, .. } = &*self;
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{fixed}{name}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await?;
        let (status, head, length) = loop {
            if let Some(found) = head_of(&self.buffer) {
                break found;
            }
            self.read().await?;
        };
        while self.buffer.len() < head + length {
            self.read().await?;
        }
        let body = self.buffer[head..head + length].to_vec();
        self.buffer.drain(..head + length);
        if status == expected {
            return Ok(Answer { body });
        }
        Err(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&body)).into())
    }

    async fn read(&mut self) -> Outcome<()> {
        self.buffer.reserve(CHUNK);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err("the server hung up in the middle of an answer".into());
        }
        Ok(())
    }
}

/// The status, the length of the head and that of the body, once the head is complete.
fn head_of(bytes: &[u8]) -> Option<(u16, usize, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
    });
    Some((status, end, length.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_once_its_head_is_complete() {
        assert_eq!(head_of(b"HTTP/1.1 201 Created\r\ncontent-length: 12\r\n"), None);
        assert_eq!(head_of(b"HTTP/1.1 201 Created\r\ncontent-length: 12\r\n\r\nabc"), Some((201, 44, 12)));
        assert_eq!(head_of(b"HTTP/1.1 204 No Content\r\n\r\n"), Some((204, 27, 0)));
    }
}
