//! The processes that take part: ourselves in another role, nginx, haproxy;
//! where they run, and what they have used.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ROLE, Res, UPSTREAM_PORT};

/// A process that ends with its owner.
pub(super) struct Started(pub(super) Child);

impl Drop for Started {
    fn drop(&mut self) {
        // Asked, not killed: nginx has a worker to end. It may be gone already.
        let _ = kill(pid_of(self.0.id()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

pub(super) type Starter = fn(&Path, u16) -> Res<(Started, u16)>;

pub(super) fn start_self(role: &str, upstream: Option<u16>) -> Res<(Started, u16)> {
    let mut command = Command::new(env::current_exe()?);
    command.env(ROLE, role).stdout(Stdio::piped());
    if let Some(port) = upstream {
        command.env(UPSTREAM_PORT, port.to_string());
    }
    let mut child = command.spawn()?;
    let out = child.stdout.take().ok_or("no output")?;
    let started = Started(child);
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    Ok((started, line.trim().parse()?))
}

pub(super) fn start_nginx(dir: &Path, upstream: u16) -> Res<(Started, u16)> {
    let (port, at) = (free_port()?, dir.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {at}/{what};"))
        .concat();
    let config = format!(
        "daemon off; worker_processes 1; pid {at}/pid; error_log stderr crit; events {{ worker_connections 1024; }}
         http {{ access_log off; {temporary} keepalive_requests 100000000;
         upstream up {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1;
         proxy_set_header Connection \"\"; proxy_set_header Authorization \"Bearer token\";
         proxy_buffering off; proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_read_timeout 1h; }} }} }}"
    );
    let path = dir.join("nginx.conf");
    fs::write(&path, config)?;
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(dir)
        .args(["-e", "stderr", "-c"])
        .arg(&path);
    start_peer(command, port)
}

pub(super) fn start_haproxy(dir: &Path, upstream: u16) -> Res<(Started, u16)> {
    let port = free_port()?;
    let config = format!(
        "global\n nbthread 1\ndefaults\n mode http\n option http-no-delay\n http-reuse always\n timeout connect 5s\n \
         timeout client 1h\n timeout server 1h\nfrontend f\n bind 127.0.0.1:{port}\n http-request set-header \
         Authorization \"Bearer token\"\n default_backend b\nbackend b\n server s 127.0.0.1:{upstream}\n"
    );
    let path = dir.join("haproxy.cfg");
    fs::write(&path, config)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(&path);
    start_peer(command, port)
}

fn start_peer(mut command: Command, port: u16) -> Res<(Started, u16)> {
    let started = Started(command.stdout(Stdio::null()).spawn()?);
    for _ in 0..500 {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok((started, port));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err("it does not listen".into())
}

/// A port that nobody has now; these programs cannot take an open listener.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// Puts us, `pids` and their children on the cores of `set`.
pub(super) fn pin(pids: &[u32], set: &CpuSet) -> Res<()> {
    let own = std::process::id();
    for pid in pids.iter().flat_map(|&pid| family(pid)).chain([own]) {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task: i32 = task?.file_name().to_string_lossy().parse()?;
            // A thread may have ended meanwhile.
            let _ = sched_setaffinity(Pid::from_raw(task), set);
        }
    }
    Ok(())
}

/// The first of `cores`.
pub(super) fn one_core(cores: &CpuSet) -> Res<CpuSet> {
    let mut one = CpuSet::new();
    let is_ours = |&core: &usize| cores.is_set(core).unwrap_or(false);
    one.set(
        (0..CpuSet::count())
            .find(is_ours)
            .ok_or("no core is ours")?,
    )?;
    Ok(one)
}

fn pid_of(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed())
}

/// A process and its children.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    std::iter::once(pid).chain(children).collect()
}

/// User and system time of a family.
pub(super) fn cpu_seconds(pid: u32) -> f64 {
    let of = |pid: u32| -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?;
        Some(ticks / 100.0)
    };
    family(pid).into_iter().filter_map(of).sum()
}
