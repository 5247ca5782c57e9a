//! What a process asked of the system, as `strace` wrote it down, and the judge of its order.

use std::{collections::HashMap, path::Path};

use crate::chance::skip;

/// A call of the system: the lines at which it began and ended say what came before what.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The file or connection that it was about.
    pub(crate) target: String,
    pub(crate) data: String,
    began: usize,
    ended: usize,
    result: String,
}

/// The options with which a trace can be read here.
pub(crate) const OPTIONS: [&str; 6] =
    ["-f", "-yy", "-s", "6000", "-e", "trace=pwrite64,pwritev,write,writev,sendto,sendmsg,fsync,fdatasync"];

/// Whether this machine lets processes be traced.
pub(crate) fn can_trace() -> bool {
    let tried = std::process::Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let works = tried.is_ok_and(|output| output.status.success());
    if !works {
        skip("strace is missing here, or not allowed to trace");
    }
    works
}

/// Reads a trace; calls stand in the order in which they ended.
pub(crate) fn read(file: &Path) -> Vec<Call> {
    parse(&String::from_utf8_lossy(&std::fs::read(file).unwrap()))
}

/// Lines such as `12 write(3</a>, "b", 1) = 1`, or the same in two halves.
pub(crate) fn parse(trace: &str) -> Vec<Call> {
    let mut open: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((process, text)) = text.split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(start) = text.strip_suffix("<unfinished ...>") {
            open.insert(process, (line, start));
        } else if text.starts_with("<... ") {
            let Some((began, start)) = open.remove(process) else { continue };
            let rest = text.split_once("resumed>").map(|(_, rest)| rest).unwrap_or_default();
            calls.extend(call(&format!("{start}{rest}"), began, line));
        } else {
            calls.extend(call(text, line, line));
        }
    }
    calls
}

fn call(text: &str, began: usize, ended: usize) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (call, result) = rest.rsplit_once(" = ")?;
    let (_, rest) = call.split_once('<')?;
    let end = rest.find(">, ").or_else(|| rest.rfind(">)"))?;
    let (target, data) = rest.split_at(end);
    Some(Call {
        name: name.to_owned(),
        target: target.to_owned(),
        data: data.to_owned(),
        began,
        ended,
        result: result.trim().to_owned(),
    })
}

impl Call {
    fn syncs(&self, file: &str) -> bool {
        matches!(&*self.name, "fsync" | "fdatasync") && self.target.ends_with(file) && self.result == "0"
    }

    fn writes(&self, file: &str) -> bool {
        !matches!(&*self.name, "fsync" | "fdatasync") && self.target.ends_with(file)
    }
}

/// Whether all that was written to `log` before the answer with `marker` went out was synced in
/// between: the rows with the marker are there, a sync begins after the last write has ended, and has
/// succeeded before the answer begins.
pub(crate) fn is_synced_before_the_answer(calls: &[Call], log: &str, marker: &str) -> Result<(), String> {
    let is_answer =
        |call: &&Call| call.target.contains("TCP") && call.data.contains("HTTP/1.1 201") && call.data.contains(marker);
    let answer = calls.iter().find(is_answer).ok_or("no answer went out")?;
    let before: Vec<_> = calls.iter().filter(|call| call.began < answer.began).collect();
    let written: Vec<_> = before.iter().filter(|call| call.writes(log)).collect();
    if !written.iter().any(|call| call.data.contains(marker)) {
        return Err("the answer went out before the row was written".to_owned());
    }
    let last = written.iter().map(|call| call.ended).max().unwrap_or(usize::MAX);
    let synced = before.iter().any(|call| call.syncs(log) && call.began > last && call.ended < answer.began);
    if synced { Ok(()) } else { Err("no sync stands between the last write of the log and the answer".to_owned()) }
}
