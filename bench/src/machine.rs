//! What the system tells: about this machine, and about the process under test.

use std::{fs, path::Path, time::Duration};

use rustix::{
    param::clock_ticks_per_second,
    process::{Resource, getrlimit, setrlimit},
};

use crate::{Outcome, clock};

/// Opens as many descriptors as the system allows, and says how many that is.
pub(crate) fn raise_descriptor_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // A system that says no leaves things as they are; what is then too much fails by name.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The CPU time that a process has used, user and system, in the kernel's ticks of 10 ms.
pub(crate) fn cpu(process: u32) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th word behind it.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks: u64 = behind.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / clock_ticks_per_second()))
}

/// The resident memory of a process, in KiB.
pub(crate) fn resident(process: u32) -> Outcome<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    field(&status, "VmRSS:").and_then(|text| text.parse().ok()).ok_or_else(|| "the system tells no VmRSS".into())
}

/// How many descriptors a process may have.
pub(crate) fn descriptor_limit(process: u32) -> Outcome<u64> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits"))?;
    let word = field(&limits, "Max open files").ok_or("the system tells no limit of open files")?;
    Ok(word.parse().unwrap_or(u64::MAX))
}

/// The first word behind a label.
fn field<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(label)?.split_whitespace().next())
}

/// One line about this machine and this moment.
pub(crate) fn describe(directory: &Path) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("unknown", |m| m.1);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = field(&read("/proc/meminfo"), "MemTotal:").and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 20;
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let date = clock::today().to_string();
    format!(
        "{model}, {cores} cores, {memory} GiB memory, Linux {}, data on {}; {}, load {} before the start",
        kernel.trim(),
        file_system(directory),
        date.split('T').next().unwrap_or_default(),
        load.split(' ').next().unwrap_or_default(),
    )
}

/// The kind of file system that holds a directory.
fn file_system(directory: &Path) -> String {
    let Ok(directory) = fs::canonicalize(directory) else { return "an unknown file system".to_owned() };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let holder = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(mount, _)| directory.starts_with(mount))
        .max_by_key(|(mount, _)| mount.len());
    holder.map_or("an unknown file system", |(_, kind)| kind).to_owned()
}
