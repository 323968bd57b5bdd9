//! The process between us and the agent: it leads the session of the agent's
//! terminal, in which the agent is a job.
//!
//! An agent that led its session itself could not be suspended: the kernel
//! ignores Ctrl-Z in a group that has no parent in its own session. (POSIX:
//! orphaned process groups.) The anchor is that parent. It tells us when the
//! agent stops, ends as the agent ends, and ends the agent if we are gone:
//! our end closes the terminal, which hangs up on the session's leader.
//!
//! Processes that the agent's have left are given to the anchor, whatever
//! session or group they made for themselves (Linux: child subreaper). Where the
//! agent was ended, they are as well: all of them are, or become, children of the
//! anchor, whose numbers nobody else can have.
//!
//! *Invariant*: this is what is left of a process of threads after a fork: it
//! allocates nothing and takes no lock.

#[cfg(target_os = "linux")]
use std::ffi::CStr;
use std::io;

use nix::libc::c_int;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, killpg, pthread_sigmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgrp, getppid, setpgid, tcsetpgrp};

/// Sent to us when the agent has stopped; others may send it as well, so it is
/// believed only where [`is_stopped`] agrees.
pub(super) const STOPPED: Signal = Signal::SIGUSR1;

/// Sent by us when the agent is ended.
pub(super) const ENDS: Signal = Signal::SIGTERM;

/// Seconds that an agent has after the hang-up.
const GRACE: u32 = 5;

/// Seconds that what the agent has left has, until it is killed.
#[cfg(target_os = "linux")]
const ORPHAN_GRACE: u32 = 1;

/// How often what is left is killed: a process that hangs in the kernel does not
/// hold us up.
#[cfg(target_os = "linux")]
const KILLS: u32 = 3;

/// The name of a process of ours that outlives what started it: a session in the
/// background, or a hub. An agent may start one, and its end does not end it.
#[cfg(target_os = "linux")]
const OUTLIVES: &CStr = c"wrapper:daemon";

/// Has this process outlive the agent that may have started it.
///
/// # Errors
/// If the system does not take its name.
#[cfg(target_os = "linux")]
pub fn outlive() -> io::Result<()> {
    Ok(nix::sys::prctl::set_name(OUTLIVES)?)
}

/// Elsewhere nothing but its terminal ends it.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn outlive() -> io::Result<()> {
    Ok(())
}

/// How the agent ended.
pub(super) enum Held {
    Exited(c_int),
    Killed(c_int),
}

/// True if a process is stopped, or nobody can tell.
pub(super) fn is_stopped(agent: Pid) -> bool {
    if cfg!(not(target_os = "linux")) {
        return true;
    }
    match std::fs::read_to_string(format!("/proc/{agent}/stat")) {
        // The state follows the name, which may hold anything (proc(5)).
        Ok(stat) => (stat.rsplit_once(") ")).is_some_and(|(_, rest)| rest.starts_with('T')),
        // It has gone, which is no stop.
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// In the agent, before its program: leads a group of its own, in the
/// foreground of the terminal.
pub(super) fn take_foreground() -> io::Result<()> {
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    // A background process that takes the foreground is stopped for it,
    // unless it holds this signal off.
    let mut ttou = SigSet::empty();
    ttou.add(Signal::SIGTTOU);
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&ttou), None)?;
    tcsetpgrp(io::stdin(), getpgrp())?;
    pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&ttou), None)?;
    Ok(())
}

/// In the anchor: stays until the agent has ended.
pub(super) fn hold(wrapper: Pid, agent: Pid) -> Held {
    // The memory is ours, with its secrets: no core of it is ever dumped.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(true);
    let mut news = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGALRM, ENDS] {
        news.add(signal);
    }
    // From now on signals wait until they are asked for.
    let _ = SigSet::all().thread_set_mask();
    let mut is_ended = false;
    loop {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
        while let Ok(status) = waitpid(None, Some(flags)) {
            match status {
                WaitStatus::Exited(pid, code) if pid == agent => {
                    sweep(is_ended, &news);
                    return Held::Exited(code);
                }
                WaitStatus::Signaled(pid, by, _) if pid == agent => {
                    sweep(is_ended, &news);
                    let _ = SigSet::all().thread_unblock();
                    return Held::Killed(by as c_int);
                }
                WaitStatus::Stopped(pid, _) if pid == agent && getppid() == wrapper => {
                    let _ = kill(wrapper, STOPPED);
                }
                WaitStatus::StillAlive => break,
                // Somebody whom the agent has left.
                _ => {}
            }
        }
        match news.wait() {
            Ok(ENDS) => is_ended = true,
            Ok(Signal::SIGHUP) => {
                is_ended = true;
                let _ = killpg(agent, Signal::SIGHUP);
                let _ = killpg(agent, Signal::SIGCONT);
                nix::unistd::alarm::set(GRACE);
            }
            Ok(Signal::SIGALRM) => {
                let _ = killpg(agent, Signal::SIGKILL);
            }
            _ => {}
        }
    }
}

/// Ends what the agent has left, if it was ended itself: each with SIGTERM, then
/// SIGKILL, and what they leave in turn.
#[cfg(target_os = "linux")]
fn sweep(is_ended: bool, news: &SigSet) {
    if !is_ended {
        return;
    }
    let mut kills = 0;
    nix::unistd::alarm::set(ORPHAN_GRACE);
    loop {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        let signal = if kills > 0 {
            Signal::SIGKILL
        } else {
            Signal::SIGTERM
        };
        if !signal_children(signal) {
            return;
        }
        if let Ok(Signal::SIGALRM) = news.wait() {
            if kills == KILLS {
                return;
            }
            kills += 1;
            nix::unistd::alarm::set(ORPHAN_GRACE);
        }
    }
}

/// Elsewhere the system does not give them to us.
#[cfg(not(target_os = "linux"))]
fn sweep(_: bool, _: &SigSet) {}

/// Signals our children, as far as a list of them fits; the others are told when
/// these have ended. False if there is none that this is for.
#[cfg(target_os = "linux")]
fn signal_children(signal: Signal) -> bool {
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    use nix::unistd::read;

    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let Ok(file) = open(c"/proc/thread-self/children", flags, Mode::empty()) else {
        return false;
    };
    let mut list = [0; 4096];
    let Ok(length) = read(&file, &mut list) else {
        return false;
    };
    let (mut pid, mut first, mut has_signalled) = (0, 0, false);
    for (at, byte) in list[..length].iter().enumerate() {
        if byte.is_ascii_digit() {
            pid = pid * 10 + i32::from(byte - b'0');
            continue;
        }
        if pid > 0 && !outlives(&list[first..at]) {
            let child = Pid::from_raw(pid);
            let _ = kill(child, signal);
            // A stopped process takes no signal but SIGKILL until it goes on.
            let _ = kill(child, Signal::SIGCONT);
            has_signalled = true;
        }
        (pid, first) = (0, at + 1);
    }
    has_signalled
}

/// True if the process of this number in digits is a session of its own in the
/// background, or a hub.
#[cfg(target_os = "linux")]
fn outlives(pid: &[u8]) -> bool {
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    use nix::unistd::read;

    let mut path = [0; 32];
    let mut end = 0;
    for part in [b"/proc/", pid, b"/comm"] {
        let Some(place) = path[..31].get_mut(end..end + part.len()) else {
            return false;
        };
        place.copy_from_slice(part);
        end += part.len();
    }
    let Ok(path) = CStr::from_bytes_until_nul(&path) else {
        return false;
    };
    let Ok(file) = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) else {
        return false;
    };
    let mut name = [0; 32];
    let length = read(&file, &mut name).unwrap_or(0);
    name[..length].strip_suffix(b"\n") == Some(OUTLIVES.to_bytes())
}
