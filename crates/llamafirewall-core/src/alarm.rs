//! When the time of scanners is up. Whoever waits on a thread of its own wakes by itself then; only under another executor does it take the
//! thread of a timer, which a copy of the process that fork made would be without.

use futures_timer::Delay;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

thread_local! {
    /// Whom this thread polls for, and when it has to wake by itself.
    static WAITS: RefCell<Option<(Waker, Option<Instant>)>> = const { RefCell::new(None) };
}

/// Polls by `work` for whoever waits on this thread with `waker`, and says when to poll again at the latest.
pub(crate) fn during<T>(waker: &Waker, work: impl FnOnce() -> T) -> (T, Option<Instant>) {
    let outer = WAITS.replace(Some((waker.clone(), None)));
    let done = work();
    let own = WAITS.replace(outer);
    (done, own.and_then(|(_, wanted)| wanted))
}

/// A time to be woken at.
pub(crate) struct Alarm {
    /// `None` is beyond what clocks have room for.
    at: Option<Instant>,
    timer: Option<Delay>,
}

impl Alarm {
    /// So much later than now.
    pub fn after(after: Duration) -> Self {
        Self { at: Instant::now().checked_add(after), timer: None }
    }

    /// Whether the time has come; `context` is woken when it has.
    pub fn rings(&mut self, context: &mut Context<'_>) -> bool {
        let now = Instant::now();
        let Some(at) = self.at else { return false };
        if at <= now {
            return true;
        }
        let heard = WAITS.with_borrow_mut(|waits| match waits {
            Some((waker, wanted)) if waker.will_wake(context.waker()) => {
                *wanted = Some(wanted.map_or(at, |other| other.min(at)));
                true
            }
            _ => false,
        });
        if heard {
            return false;
        }
        let timer = self.timer.get_or_insert_with(|| Delay::new(at - now));
        Pin::new(timer).poll(context).is_ready()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};
    use std::task::Wake;

    struct Tell(Sender<()>);

    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            // The test may be over.
            let _ = self.0.send(());
        }
    }

    #[test]
    fn who_waits_on_a_thread_wakes_by_itself_at_the_first_time() {
        let (sender, receiver) = channel();
        let waker = Waker::from(Arc::new(Tell(sender)));
        let mut context = Context::from_waker(&waker);
        let mut alarms = [60, 30, 90].map(|seconds| Alarm::after(Duration::from_secs(seconds)));
        let (rings, wanted) = during(&waker, || alarms.each_mut().map(|alarm| alarm.rings(&mut context)));
        assert_eq!((rings, wanted), ([false; 3], alarms[1].at));
        assert!(alarms.iter().all(|alarm| alarm.timer.is_none()) && receiver.try_recv().is_err());
        assert_eq!(during(&waker, || Alarm::after(Duration::ZERO).rings(&mut context)), (true, None));
    }

    #[test]
    fn whoever_waits_elsewhere_is_woken() {
        let (sender, receiver) = channel();
        let (own, others) = (Waker::from(Arc::new(Tell(sender))), Waker::noop());
        let mut context = Context::from_waker(&own);
        let mut alarm = Alarm::after(Duration::from_millis(5));
        let (rings, wanted) = during(others, || alarm.rings(&mut context));
        assert!(rings || receiver.recv().is_ok());
        assert_eq!(wanted, None);
    }
}
