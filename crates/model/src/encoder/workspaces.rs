//! Where encodings happen: each has a device of its own over the shared weights, so that no thread waits for another.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use torchless_device::EncoderDevice;

/// A device and how many rows its buffers have.
pub(super) struct Workspace {
    pub device: Box<dyn EncoderDevice>,
    pub room: usize,
    is_first: bool,
}

/// Devices that are not in use. The first has all threads; those that are made because others encode at the same time work on the
/// thread that asks.
pub(super) struct Workspaces {
    state: Mutex<State>,
    returned: Condvar,
    most: usize,
}

struct State {
    free: Vec<Workspace>,
    /// What others are made from; `None` where the device does not share.
    source: Option<Box<dyn EncoderDevice>>,
    made: usize,
}

impl Workspaces {
    /// With this device as the first.
    pub(super) fn new(device: Box<dyn EncoderDevice>) -> Self {
        let source = device.share(1);
        let most = std::thread::available_parallelism().map_or(1, usize::from);
        let most = if source.is_some() { most } else { 1 };
        let state = State { free: vec![Workspace { device, room: 0, is_first: true }], source, made: 1 };
        Self { state: Mutex::new(state), returned: Condvar::new(), most }
    }

    /// Calls `f` with one that nobody else uses. Waits only where as many are in use as the machine has processors, or the device
    /// does not share. What a call that panics leaves behind is dropped.
    /// Panics where the only device was lost in that way.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Workspace) -> T) -> T {
        let mut workspace = self.take();
        let place = Place(self);
        let result = f(&mut workspace);
        place.give_back(workspace);
        result
    }

    fn take(&self) -> Workspace {
        let mut state = self.lock();
        loop {
            // The first, which has the most threads, lies lowest.
            if !state.free.is_empty() {
                return state.free.remove(0);
            }
            if state.made < self.most
                && let Some(device) = state.source.as_ref().and_then(|source| source.share(1))
            {
                state.made += 1;
                return Workspace { device, room: 0, is_first: false };
            }
            assert!(state.made > 0, "the device was lost in a panic");
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a workspace that is in use.
struct Place<'a>(&'a Workspaces);

impl Place<'_> {
    fn give_back(self, workspace: Workspace) {
        let mut state = self.0.lock();
        let at = if workspace.is_first { 0 } else { state.free.len() };
        state.free.insert(at, workspace);
        drop(state);
        self.0.returned.notify_one();
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().made -= 1;
        self.0.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use torchless_device::{CpuDevice, CpuOptions, Recorder};
    use torchless_kernels::{Precision, best};

    fn cpu() -> Box<dyn EncoderDevice> {
        Box::new(CpuDevice::new(CpuOptions { kernels: best(), threads: 2, precision: Precision::Fast }))
    }

    #[test]
    fn the_one_with_all_threads_is_taken_first() {
        let workspaces = Workspaces::new(cpu());
        for _ in 0..3 {
            assert!(workspaces.with(|workspace| workspace.is_first));
        }
        workspaces.with(|_| {
            if workspaces.most > 1 {
                assert!(workspaces.with(|other| !other.is_first));
            }
        });
        assert!(workspaces.with(|workspace| workspace.is_first));
    }

    #[test]
    fn what_a_panic_leaves_is_replaced() {
        let workspaces = Workspaces::new(cpu());
        for _ in 0..5 {
            let broken = catch_unwind(AssertUnwindSafe(|| workspaces.with(|_| panic!("broken"))));
            assert!(broken.is_err());
        }
        workspaces.with(|workspace| assert_eq!(workspace.room, 0));
    }

    #[test]
    #[should_panic(expected = "lost in a panic")]
    fn a_device_that_cannot_be_replaced_is_missed() {
        let workspaces = Workspaces::new(Box::new(Recorder::new()));
        drop(catch_unwind(AssertUnwindSafe(|| workspaces.with(|_| panic!("broken")))));
        workspaces.with(|_| {});
    }
}
