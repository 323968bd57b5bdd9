//! The process between us and the agent: it leads the session of the agent's
//! terminal, in which the agent is a job.
//!
//! An agent that led its session itself could not be suspended: the kernel
//! ignores Ctrl-Z in a group that has no parent in its own session. (POSIX:
//! orphaned process groups.) The anchor is that parent. It tells us when the
//! agent stops, ends as the agent ends, and ends the agent if we are gone:
//! our end closes the terminal, which hangs up on the session's leader.
//!
//! *Invariant*: this is what is left of a process of threads after a fork: it
//! allocates nothing and takes no lock.

use std::io;

use nix::libc::c_int;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, killpg, pthread_sigmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgrp, getppid, setpgid, tcsetpgrp};

/// Sent to us when the agent has stopped; others may send it as well, so it is
/// believed only where [`is_stopped`] agrees.
pub(super) const STOPPED: Signal = Signal::SIGUSR1;

/// Seconds that an agent has after the hang-up.
const GRACE: u32 = 5;

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
    let mut news = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGALRM] {
        news.add(signal);
    }
    // From now on signals wait until they are asked for.
    let _ = SigSet::all().thread_set_mask();
    loop {
        while let Ok(status) = waitpid(agent, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
            match status {
                WaitStatus::Exited(_, code) => return Held::Exited(code),
                WaitStatus::Signaled(_, by, _) => {
                    let _ = SigSet::all().thread_unblock();
                    return Held::Killed(by as c_int);
                }
                WaitStatus::Stopped(..) if getppid() == wrapper => {
                    let _ = kill(wrapper, STOPPED);
                }
                _ => break,
            }
        }
        match news.wait() {
            Ok(Signal::SIGHUP) => {
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
