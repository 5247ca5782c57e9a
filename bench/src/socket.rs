//! The client side of a WebSocket, as cheap as a generator needs it: many sockets of one thread read into the same
//! bytes, so that an idle one holds none. What the frames say is for others.

use std::{
    cell::RefCell,
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    task::Poll,
};

use tokio::{
    io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    net::{TcpSocket, TcpStream},
};

use crate::{
    Outcome,
    frames::{self, Frame},
};

/// How many sockets share a source address: a port is free for each only up to some 28 000.
const PER_ADDRESS: usize = 4000;

thread_local! {
    /// All sockets of a thread read into the same bytes.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 * 1024]);
}

/// Where a connection comes from: the second byte of its source address, `127.<net>.0.x`, and its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// The second byte.
    pub(crate) net: u8,
    /// Its number among those of this net.
    pub(crate) place: usize,
}

/// Opens a socket; also gives what came right behind the answer. `head` is the request's line and its own headers.
pub(crate) async fn open(address: SocketAddr, source: Source, head: &str) -> Outcome<(TcpStream, Vec<u8>)> {
    let mut stream = connect(address, source).await?;
    let request = format!(
        "{head}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: bWVldC1haS1iZW5jaC13cw==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            if !answer.starts_with(b"HTTP/1.1 101") {
                return Err(format!("no socket: {}", String::from_utf8_lossy(&answer).trim()).into());
            }
            return Ok((stream, answer.split_off(end + 4)));
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err("no socket: the server hung up".into());
        }
    }
}

/// A connection; to a server on this machine from an address of many, so that ports do not run out.
async fn connect(address: SocketAddr, source: Source) -> Outcome<TcpStream> {
    if !address.is_ipv4() || !address.ip().is_loopback() {
        return Ok(TcpStream::connect(address).await?);
    }
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    let host = u8::try_from(source.place / PER_ADDRESS % 200).unwrap_or(0) + 2;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, source.net, 0, host), 0)))?;
    Ok(socket.connect(address).await?)
}

/// What came of one read.
enum Took {
    Nothing,
    Answer(Vec<u8>),
    End(Option<u16>),
}

/// Reads until the connection ends, and gives the code with which it did. Each frame goes to `take`, which may add
/// frames to send; pings of the WebSocket are answered here.
pub(crate) async fn read(
    stream: &mut TcpStream,
    rest: Vec<u8>,
    mut take: impl FnMut(Frame<'_>, &mut Vec<u8>),
) -> Option<u16> {
    let mut carry = Vec::new();
    let mut took = take_all(&mut carry, &rest, &mut take);
    drop(rest);
    loop {
        match took {
            Took::Nothing => {}
            Took::Answer(frames) if stream.write_all(&frames).await.is_ok() => {}
            Took::Answer(_) => return None,
            Took::End(code) => return code,
        }
        let reading = poll_fn(|context| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut space = ReadBuf::new(buffer);
                match Pin::new(&mut *stream).poll_read(context, &mut space) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Ok(())) if !space.filled().is_empty() => {
                        Poll::Ready(take_all(&mut carry, space.filled(), &mut take))
                    }
                    Poll::Ready(_) => Poll::Ready(Took::End(None)),
                }
            })
        });
        took = reading.await;
    }
}

/// Takes all complete frames and keeps the rest for later.
fn take_all(carry: &mut Vec<u8>, fresh: &[u8], take: &mut impl FnMut(Frame<'_>, &mut Vec<u8>)) -> Took {
    if carry.is_empty() {
        let (took, used) = take_frames(fresh, take);
        carry.extend_from_slice(&fresh[used..]);
        return took;
    }
    let mut bytes = std::mem::take(carry);
    bytes.extend_from_slice(fresh);
    let (took, used) = take_frames(&bytes, take);
    bytes.drain(..used);
    if !bytes.is_empty() {
        *carry = bytes;
    }
    took
}

fn take_frames(bytes: &[u8], take: &mut impl FnMut(Frame<'_>, &mut Vec<u8>)) -> (Took, usize) {
    let (mut used, mut answers) = (0, Vec::new());
    while let Some((frame, length)) = frames::first(&bytes[used..]) {
        used += length;
        match frame {
            Frame::Ping(payload) => answers.extend_from_slice(&frames::pong(payload)),
            Frame::Close(code) => return (Took::End(Some(code)), used),
            frame => take(frame, &mut answers),
        }
    }
    (if answers.is_empty() { Took::Nothing } else { Took::Answer(answers) }, used)
}
