//! Sums over several devices by the vendor's own library: NVIDIA's NCCL, or AMD's RCCL, which has the same functions.

use std::ffi::{CStr, c_char, c_int};
use std::path::PathBuf;
use std::ptr::null_mut;

use libloading::Library;
use torchless_device::{BufId, Device, DeviceError, Exchange, Lent};

use super::api::{Handle, Status, symbol};
use super::{Vendor, library};
use crate::GpuError;

/// `ncclFloat32` and `ncclSum` of nccl.h.
const FLOAT32: c_int = 7;
const SUM: c_int = 0;

/// The functions that are called, with the names of nccl.h.
struct Api {
    version: unsafe extern "C" fn(*mut c_int) -> Status,
    words: unsafe extern "C" fn(Status) -> *const c_char,
    join: unsafe extern "C" fn(*mut Handle, c_int, *const c_int) -> Status,
    leave: unsafe extern "C" fn(Handle) -> Status,
    begin: unsafe extern "C" fn() -> Status,
    end: unsafe extern "C" fn() -> Status,
    sum: unsafe extern "C" fn(u64, u64, usize, c_int, c_int, Handle, u64) -> Status,
    _library: Library,
}

impl Api {
    /// Finds every function; the error is the name of the one that is missing.
    fn of(library: Library) -> Result<Self, String> {
        /// # Safety
        /// As for [`symbol`].
        unsafe fn find<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
            // SAFETY: the caller's promise.
            unsafe { symbol(library, name) }.ok_or_else(|| name.to_owned())
        }
        // SAFETY: nccl.h declares these names with these parameters; addresses and streams are pointers of 64 bits.
        unsafe {
            Ok(Self {
                version: find(&library, "ncclGetVersion")?,
                words: find(&library, "ncclGetErrorString")?,
                join: find(&library, "ncclCommInitAll")?,
                leave: find(&library, "ncclCommDestroy")?,
                begin: find(&library, "ncclGroupStart")?,
                end: find(&library, "ncclGroupEnd")?,
                sum: find(&library, "ncclAllReduce")?,
                _library: library,
            })
        }
    }

    fn check(&self, status: Status) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the function returns a constant string, or nothing.
        let text = unsafe { (self.words)(status) };
        // SAFETY: it ends with a zero.
        let words = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned());
        Err(words.unwrap_or_else(|| format!("error {status}")))
    }
}

/// Devices of one vendor that know each other.
pub struct Collective {
    api: Api,
    name: String,
    /// One for each device.
    members: Vec<Handle>,
}

// SAFETY: the handles are used by one thread at a time, since every use takes `&mut self`.
unsafe impl Send for Collective {}

impl Collective {
    /// Makes the vendor's devices of these numbers known to each other.
    ///
    /// # Errors
    /// The library is not there, lacks a function, or refuses the devices.
    pub fn open(vendor: Vendor, ordinals: &[usize]) -> Result<Self, GpuError> {
        Self::open_from(vendor, ordinals, &library::collective(vendor))
    }

    pub(super) fn open_from(
        vendor: Vendor,
        ordinals: &[usize],
        candidates: &[PathBuf],
    ) -> Result<Self, GpuError> {
        let unavailable = |reason: String| {
            GpuError::Unavailable {
            backend: vendor.backend(),
            reason: format!("layers that several devices share need {}: {reason}", vendor.pick("NCCL", "RCCL")),
            advice: vendor
                .pick(
                    "install NCCL, such as Python's nvidia-nccl-cu12, and set TORCHLESS_NCCL to its folder, or give each device whole layers with --split layers",
                    "install RCCL with ROCm, or set TORCHLESS_NCCL to its folder, or give each device whole layers with --split layers",
                )
                .to_owned(),
        }
        };
        let library = library::load(candidates).map_err(unavailable)?;
        let api = Api::of(library).map_err(|name| unavailable(format!("it has no function {name}")))?;
        let mut version = 0;
        // SAFETY: one number is written to a local.
        api.check(unsafe { (api.version)(&raw mut version) }).map_err(unavailable)?;
        let name = format!("{} {}", vendor.pick("NCCL", "RCCL"), spelt(version));
        // Numbers of devices are those of the interface, and few.
        let numbers: Vec<c_int> = ordinals.iter().map(|&ordinal| ordinal as c_int).collect();
        let mut members = vec![null_mut(); numbers.len()];
        // SAFETY: as many handles are written as there are numbers.
        let joined =
            api.check(unsafe { (api.join)(members.as_mut_ptr(), numbers.len() as c_int, numbers.as_ptr()) });
        joined.map_err(|reason| GpuError::Failed {
            device: name.clone(),
            what: format!("joining devices {ordinals:?}"),
            reason,
        })?;
        Ok(Self { api, name, members })
    }

    /// Sums what lies at these places into each of them, in the order of the devices' queues.
    ///
    /// # Safety
    /// Each place is one of `values` floats on the device of its number, which nothing outside its queue works on.
    unsafe fn sum_at(&mut self, places: &[Lent], values: usize) -> Result<(), String> {
        // SAFETY: no arguments.
        self.api.check(unsafe { (self.api.begin)() })?;
        let sum = |(place, member): (&Lent, &Handle)| {
            let Lent { address, queue } = *place;
            // SAFETY: the caller's promise; a group's calls wait for its end.
            self.api.check(unsafe { (self.api.sum)(address, address, values, FLOAT32, SUM, *member, queue) })
        };
        let asked = places.iter().zip(&self.members).try_for_each(sum);
        // SAFETY: the group that was begun above.
        let ended = self.api.check(unsafe { (self.api.end)() });
        asked.and(ended)
    }
}

/// From 2.9 on with four digits for the first number.
fn spelt(version: c_int) -> String {
    let (first, second) = if version >= 10_000 { (10_000, 100) } else { (1000, 100) };
    format!("{}.{}.{}", version / first, version % first / second, version % second)
}

impl Exchange for Collective {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn sum(
        &mut self,
        devices: &mut [Box<dyn Device>],
        bufs: &[BufId],
        values: usize,
    ) -> Result<(), DeviceError> {
        let lend = |(device, buf): (&mut Box<dyn Device>, &BufId)| device.lend(*buf);
        let places = devices.iter_mut().zip(bufs).map(lend).collect::<Result<Vec<_>, _>>()?;
        if values == 0 {
            return Ok(());
        }
        // SAFETY: the devices lent these places, each in its own order of work, and hold the buffers as long as they live.
        let summed = unsafe { self.sum_at(&places, values) };
        summed.map_err(|reason| {
            DeviceError::Failed(format!(
                "{} failed in a sum over {} devices: {reason}",
                self.name,
                places.len()
            ))
        })
    }
}

impl Drop for Collective {
    fn drop(&mut self) {
        for member in self.members.drain(..) {
            // SAFETY: the handle is not used again.
            if let Err(reason) = self.api.check(unsafe { (self.api.leave)(member) }) {
                tracing::warn!("{}: {reason}", self.name);
            }
        }
    }
}
