//! Servers that are not ours, or mean no good: each answers what it is told to, and keeps what it was
//! asked.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
};

/// What to do with the next request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Answers with a status line's end, more headers and a body.
    Http(&'static str, String, String),
    /// Ends the connection without a word.
    HangUp,
}

/// A server that answers each request in turn, the last answer for ever.
pub(crate) struct Fake {
    pub(crate) url: String,
    requests: Receiver<String>,
}

impl Answer {
    pub(crate) fn json(status: &'static str, body: impl Into<String>) -> Self {
        Self::Http(status, "content-type: application/json\r\n".to_owned(), body.into())
    }
}

impl Fake {
    pub(crate) fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, requests) = channel();
        std::thread::spawn(move || {
            let mut answers = answers.into_iter().peekable();
            for stream in listener.incoming() {
                let Some(answer) = answers.peek().cloned() else { return };
                if answers.len() > 1 {
                    answers.next();
                }
                if serve(stream.unwrap(), &answer, &asked).is_none() {
                    return;
                }
            }
        });
        Self { url, requests }
    }

    /// The requests that came until now, heads and bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, asked: &Sender<String>) -> Option<()> {
    asked.send(read_request(&mut stream)).ok()?;
    if let Answer::Http(status, headers, body) = answer {
        let length = body.len();
        let _ =
            write!(stream, "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
    }
    Some(())
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                return String::from_utf8_lossy(&request).into_owned();
            }
        }
        match stream.read(&mut buffer).unwrap() {
            0 => return String::from_utf8_lossy(&request).into_owned(),
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
}
