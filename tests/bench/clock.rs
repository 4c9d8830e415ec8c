//! The bench's time: monotonic nanoseconds that all its processes share, and a ticker finer than the runtime's milliseconds.
//! Never wall-clock time: stamps only have to agree between processes of one machine.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds on the monotonic clock; the same instant reads the same in every process.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * NANOS_PER_SECOND + now.tv_nsec.cast_unsigned()
}

/// Fires at `first_at_ns` and then at every whole period after it, on the kernel's high-resolution timer.
///
/// The runtime's own timers round up to a millisecond, which would bunch requests and chunks that should be spread evenly.
pub struct Ticker {
    fd: AsyncFd<OwnedFd>,
}

impl Ticker {
    #[expect(deprecated, reason = "its successor is an unsafe function, and an OwnedFd gives what that one asks for")]
    pub fn every(first_at_ns: u64, period_ns: u64) -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let times = Itimerspec { it_interval: timespec(period_ns), it_value: timespec(first_at_ns.max(1)) };
        timerfd_settime(&fd, TimerfdTimerFlags::ABSTIME, &times)?;
        Ok(Self { fd: AsyncFd::new(fd)? })
    }

    /// Ready with the number of ticks since the last call: more than one when the caller came late.
    pub fn poll_ticks(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        loop {
            let mut ready = std::task::ready!(self.fd.poll_read_ready(cx))?;
            let mut ticks = [0; 8];
            match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut ticks)?)) {
                Ok(read) => return Poll::Ready(read.map(|_| u64::from_ne_bytes(ticks))),
                Err(_would_block) => {}
            }
        }
    }

    pub async fn ticks(&mut self) -> io::Result<u64> {
        std::future::poll_fn(|cx| self.poll_ticks(cx)).await
    }
}

fn timespec(nanos: u64) -> Timespec {
    Timespec { tv_sec: (nanos / NANOS_PER_SECOND).cast_signed(), tv_nsec: (nanos % NANOS_PER_SECOND).cast_signed() }
}
