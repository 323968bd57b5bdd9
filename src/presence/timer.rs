//! A pause that the kernel keeps, over a suspend of the machine as well.

use std::time::Duration;

/// Sleeps for `time` of the world, not of this machine: one that was suspended
/// meanwhile wakes at once. The runtime's timers stand still then, and wake
/// twice on their way to a moment that is seconds away.
#[cfg(target_os = "linux")]
pub(super) async fn pause(time: Duration) {
    match kernel_timer(time) {
        Ok(timer) if timer.readable().await.is_ok() => {}
        _ => tokio::time::sleep(time).await,
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) use tokio::time::sleep as pause;

/// A descriptor that becomes readable; to the runtime it is a pipe.
#[cfg(target_os = "linux")]
fn kernel_timer(time: Duration) -> std::io::Result<tokio::net::unix::pipe::Receiver> {
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
    timer.set(Expiration::OneShot(time.into()), TimerSetTimeFlags::empty())?;
    tokio::net::unix::pipe::Receiver::from_file_unchecked(std::os::fd::OwnedFd::from(timer).into())
}
