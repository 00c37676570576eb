//! Where a model's parts lie: on the CPU, on a GPU, or on several devices, by what is asked for and by measured memory.
//!
//! What is asked for by name is used or is an error; nothing falls back in silence.

mod shared;

use crate::Error;
use crate::open::{ModelOptions, RunPrecision};
use shared::Asked;
use std::fmt;
use std::sync::PoisonError;
use torchless_device::{
    Device, EncoderDevice, Needs, Parts, Placed, Precision, Recorder, Sharded, ThroughHost,
};
use torchless_device_gpu::driver::{Opened, Shortage, devices, first_gpu};
use torchless_device_gpu::{Backend, GpuDevice, GpuError};
use torchless_formats::Checkpoint;
use torchless_model::{LoadOptions, ModelError, ModelSpec, load};

/// Where to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The CPU.
    #[default]
    Cpu,
    /// The first interface that leads to a GPU, in the order of [`Backend::ALL`]; without any, the CPU.
    Auto,
    /// The devices of one interface.
    Gpu(Backend),
}

/// What several devices share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// The layers: one computes while the others wait.
    #[default]
    Layers,
    /// Every layer, of which each has some heads and hidden values; sums go through NCCL, RCCL or the host.
    Tensor,
}

/// Where to run, and how much of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// Where.
    pub place: Place,
    /// Numbers of the devices among those of the interface, in the order in which they get layers; none takes the first.
    pub devices: Vec<usize>,
    /// Layers on the devices, counted from the last one, with the head; the others run on the CPU. `None` is all.
    pub gpu_layers: Option<usize>,
    /// What several devices share.
    pub split: Split,
    /// The part of each device's memory that may be used, above 0 and at most 1; by default [`MEMORY_FRACTION`].
    pub memory_fraction: Option<f64>,
}

pub use torchless_device_gpu::driver::MEMORY_FRACTION;

/// What lies where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Rows in the order of the model.
    pub rows: Vec<LayoutRow>,
}

/// Parts of a model that lie together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutRow {
    /// Such as `layers 0 to 15`.
    pub parts: String,
    /// The device.
    pub device: String,
    /// Bytes of weights.
    pub weights: u64,
    /// Bytes of KV cache or states.
    pub cache: u64,
    /// Bytes that were free there before; `None` where nothing limits.
    pub free: Option<u64>,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |text: fn(&LayoutRow) -> &str| self.rows.iter().map(|row| text(row).len()).max().unwrap_or(0);
        let (parts, device) = (width(|row| &row.parts), width(|row| &row.device));
        for row in &self.rows {
            let free = row.free.map_or(String::new(), |free| format!(", {} free before", mebibytes(free)));
            writeln!(
                f,
                "{:parts$}  {:device$}  weights {}, cache {}{free}",
                row.parts,
                row.device,
                mebibytes(row.weights),
                mebibytes(row.cache)
            )?;
        }
        Ok(())
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl Placement {
    fn check(&self) -> Result<(), Error> {
        if let Some(fraction) = self.memory_fraction.filter(|f| !(*f > 0.0 && *f <= 1.0)) {
            return Err(Error::Option(format!(
                "a fraction of {fraction} of the memory is not above 0 and at most 1"
            )));
        }
        let twice = |(i, device): (usize, &usize)| self.devices[..i].contains(device);
        if self.devices.iter().enumerate().any(twice) {
            return Err(Error::Option("a device is named twice".to_owned()));
        }
        if self.split == Split::Tensor && self.devices.len() < 2 {
            return Err(Error::Option(self.too_few_to_share().to_owned()));
        }
        Ok(())
    }

    /// What to name where layers are to be shared.
    fn too_few_to_share(&self) -> &'static str {
        let has_devices = match self.place {
            Place::Cpu => false,
            Place::Auto => first_gpu().is_some(),
            Place::Gpu(_) => true,
        };
        match has_devices {
            true => "layers are shared by two devices or more: name them, as in --device 0,1",
            false => {
                "layers are shared by two GPUs or more: name a backend that has them, as in --backend cuda --device 0,1 \
                 (--list-backends shows them)"
            }
        }
    }

    /// Whether some of the model will lie on a GPU; errors are left to opening.
    pub(crate) fn is_on_gpu(&self) -> bool {
        matches!(self.backend(), Ok(Some(_)))
    }

    /// The first device that a model would run on, with nothing on it; none where that is the CPU.
    pub(crate) fn first_gpu(&self, options: &ModelOptions) -> Result<Option<GpuDevice>, Error> {
        let Some(backend) = self.backend()? else { return Ok(None) };
        let mut opened = self.open(backend)?;
        Ok(Some(GpuDevice::new(opened.swap_remove(0).driver, precision(options))?))
    }

    fn asks_for_gpu(&self) -> bool {
        self.gpu_layers.is_some_and(|n| n > 0) || !self.devices.is_empty()
    }

    /// For what runs on the CPU alone: an error where something else is asked for by name.
    pub(crate) fn refuse_gpu(&self, why: &str) -> Result<(), Error> {
        match self.place {
            Place::Gpu(backend) => Err(Error::Option(format!("{why}, not on {backend}"))),
            _ if self.asks_for_gpu() => Err(Error::Option(why.to_owned())),
            Place::Cpu | Place::Auto => Ok(()),
        }
    }

    /// The interface to use; `None` is the CPU.
    fn backend(&self) -> Result<Option<Backend>, Error> {
        self.check()?;
        let asks_for_gpu = self.asks_for_gpu();
        match self.place {
            Place::Gpu(backend) => self.unless_empty(backend),
            Place::Auto if self.gpu_layers == Some(0) && self.devices.is_empty() => Ok(None),
            Place::Cpu if asks_for_gpu => Err(Error::Option(
                "the CPU has no GPU layers and no numbered devices: name another backend".to_owned(),
            )),
            Place::Cpu if self.memory_fraction.is_some() => Err(Error::Option(
                "a part of a GPU's memory says nothing of the CPU: name another backend, or see --memory-limit".to_owned(),
            )),
            Place::Cpu => Ok(None),
            Place::Auto => match first_gpu() {
                None if asks_for_gpu => Err(Error::Option(
                    "no GPU was found for these layers: --list-backends says why".to_owned(),
                )),
                None => Ok(None),
                Some(backend) => self.unless_empty(backend),
            },
        }
    }

    /// The interface, or `None` where no layer is to lie on its devices, which have to be there all the same if they are named.
    fn unless_empty(&self, backend: Backend) -> Result<Option<Backend>, Error> {
        if self.gpu_layers != Some(0) {
            return Ok(Some(backend));
        }
        let found = devices(backend)?.len();
        match self.devices.iter().find(|&&ordinal| ordinal >= found) {
            Some(&asked) => Err(GpuError::NoDevice { backend, asked, found }.into()),
            None => Ok(None),
        }
    }

    fn open(&self, backend: Backend) -> Result<Vec<Opened>, Error> {
        let ordinals = if self.devices.is_empty() { &[0][..] } else { &self.devices };
        let fraction = self.memory_fraction.unwrap_or(MEMORY_FRACTION);
        let open_one = |&ordinal: &usize| Opened::within(backend, ordinal, fraction);
        Ok(ordinals.iter().map(open_one).collect::<Result<_, _>>()?)
    }
}

/// What a model needs, part by part, on one device or on each of several that share its layers: the loader's own account.
pub(crate) fn needs(
    checkpoint: &Checkpoint,
    spec: &ModelSpec,
    options: &LoadOptions,
    devices: usize,
) -> Result<Vec<Needs>, ModelError> {
    let recorders: Vec<Recorder> = (0..devices).map(|_| Recorder::new()).collect();
    let needs: Vec<_> = recorders.iter().map(Recorder::needs).collect();
    let mut recorders: Vec<Box<dyn Device>> =
        recorders.into_iter().map(|recorder| Box::new(recorder) as Box<dyn Device>).collect();
    let device = match devices {
        1 => recorders.swap_remove(0),
        _ => Box::new(Sharded::new(recorders, Box::<ThroughHost>::default())),
    };
    load(checkpoint, spec.clone(), device, options, &mut |_, _| {})?;
    Ok(needs.iter().map(|needs| needs.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect())
}

/// How many layers each device gets, in proportion to its memory.
fn shares(count: usize, free: &[u64]) -> Vec<usize> {
    let all: u128 = free.iter().map(|bytes| u128::from(*bytes)).sum();
    let (mut left, mut shares) = (count, Vec::new());
    for (i, bytes) in free.iter().enumerate() {
        let share = (u128::from(*bytes) * count as u128).div_ceil(all.max(1)) as usize;
        shares.push(if i + 1 == free.len() { left } else { share.min(left) });
        left -= shares[i];
    }
    shares
}

/// Which device has which part: 0 is the CPU where it has one, and the others follow.
fn parts(layers: usize, shares: &[usize]) -> Parts {
    let count: usize = shares.iter().sum();
    let first = usize::from(count < layers);
    let mut all = vec![0; layers - count];
    for (device, share) in shares.iter().enumerate() {
        all.extend(std::iter::repeat_n(first + device, *share));
    }
    Parts { start: 0, end: all.last().copied().unwrap_or(0), layers: all }
}

/// A decoder's parts on open devices.
struct Planned {
    opened: Vec<Opened>,
    parts: Parts,
    /// Whether some layers stay on the CPU, which then is the first of the devices.
    has_cpu: bool,
    layout: Layout,
}

impl Planned {
    /// `None` is the CPU alone.
    fn new(options: &ModelOptions, needs: Asked<'_>) -> Result<Option<Self>, Error> {
        let Some(backend) = options.placement.backend()? else { return Ok(None) };
        let opened = options.placement.open(backend)?;
        let Some(needs) = needs(1)?.into_iter().next() else { return Ok(None) };
        let layers = needs.layers.len();
        let count = options.placement.gpu_layers.unwrap_or(layers).min(layers);
        let free: Vec<u64> = opened.iter().map(|device| device.free).collect();
        let (parts, has_cpu) = (parts(layers, &shares(count, &free)), count < layers);
        fits(&needs, &parts, &opened, has_cpu)?;
        let layout = layout(&needs, &parts, &opened, has_cpu);
        Ok(Some(Self { opened, parts, has_cpu, layout }))
    }
}

/// What will lie where; empty where all of it lies on the CPU.
///
/// # Errors
/// What is asked for is not there, or the model does not fit.
pub(crate) fn plan(options: &ModelOptions, needs: Asked<'_>) -> Result<Layout, Error> {
    if options.placement.split == Split::Tensor {
        return Ok(shared::Planned::new(options, needs)?.layout);
    }
    Ok(Planned::new(options, needs)?.map(|planned| planned.layout).unwrap_or_default())
}

/// The device for a decoder, and what will lie where.
///
/// # Errors
/// What is asked for is not there, or the model does not fit.
pub(crate) fn place(options: &ModelOptions, needs: Asked<'_>) -> Result<(Box<dyn Device>, Layout), Error> {
    if options.placement.split == Split::Tensor {
        let planned = shared::Planned::new(options, needs)?;
        let layout = planned.layout.clone();
        return Ok((planned.open(options)?, layout));
    }
    let Some(planned) = Planned::new(options, needs)? else {
        return Ok((Box::new(options.cpu()?.packing_later()), Layout::default()));
    };
    let mut devices: Vec<Box<dyn Device>> = Vec::new();
    if planned.has_cpu {
        devices.push(Box::new(options.cpu()?.packing_later()));
    }
    for device in planned.opened {
        devices.push(Box::new(GpuDevice::new(device.driver, precision(options))?));
    }
    let device = match devices.len() {
        1 => devices.swap_remove(0),
        _ => Box::new(Placed::new(devices, planned.parts)),
    };
    Ok((device, planned.layout))
}

/// The device for an encoder, which is small enough for one.
///
/// # Errors
/// What is asked for is not there, or the model does not fit.
pub(crate) fn place_encoder(
    checkpoint: &Checkpoint,
    options: &ModelOptions,
) -> Result<Box<dyn EncoderDevice>, Error> {
    options.native()?;
    match gpu_for_encoder(checkpoint, options)? {
        None => Ok(Box::new(options.cpu()?)),
        Some((device, _)) => Ok(Box::new(GpuDevice::new(device.driver, precision(options))?)),
    }
}

/// On which device an encoder will lie; empty where that is the CPU.
///
/// # Errors
/// As [`place_encoder`].
pub(crate) fn plan_encoder(checkpoint: &Checkpoint, options: &ModelOptions) -> Result<Layout, Error> {
    let Some((device, weights)) = gpu_for_encoder(checkpoint, options)? else { return Ok(Layout::default()) };
    let (parts, free) = ("encoder".to_owned(), Some(device.free));
    Ok(Layout { rows: vec![LayoutRow { parts, device: device.name(), weights, cache: 0, free }] })
}

/// The GPU with room for an encoder, and the bytes of its weights; `None` is the CPU.
fn gpu_for_encoder(checkpoint: &Checkpoint, options: &ModelOptions) -> Result<Option<(Opened, u64)>, Error> {
    let placement = &options.placement;
    let in_parts = placement.gpu_layers.is_some_and(|n| n > 0);
    if in_parts || placement.split == Split::Tensor || placement.devices.len() > 1 {
        return Err(Error::Option(
            "an encoder runs whole on one device: leave out --split, --gpu-layers and all but one --device"
                .to_owned(),
        ));
    }
    let Some(backend) = placement.backend()? else { return Ok(None) };
    let device = placement.open(backend)?.swap_remove(0);
    let needed = checkpoint.tensors.iter().map(|t| t.byte_len() as u64).sum();
    device
        .room_for(needed)
        .map_err(|short| does_not_fit(short, "--backend cpu runs it on the CPU".to_owned()))?;
    Ok(Some((device, needed)))
}

fn precision(options: &ModelOptions) -> Precision {
    match options.precision {
        RunPrecision::Fast => Precision::Fast,
        RunPrecision::Exact => Precision::Exact,
    }
}

/// Bytes of weights and cache on a device, buffers left out.
fn held(needs: &Needs, parts: &Parts, device: usize) -> (u64, u64) {
    let mine = || parts.layers.iter().zip(&needs.layers).filter(|(on, _)| **on == device);
    let mut weights: u64 = mine().map(|(_, layer)| layer.weights).sum();
    if parts.start == device {
        weights += needs.start;
    }
    if parts.end == device {
        weights += needs.end + if parts.start == device { 0 } else { needs.tied };
    }
    (weights, mine().map(|(_, layer)| layer.cache).sum())
}

fn fits(needs: &Needs, parts: &Parts, opened: &[Opened], has_cpu: bool) -> Result<(), Error> {
    for (i, device) in opened.iter().enumerate() {
        let (weights, cache) = held(needs, parts, i + usize::from(has_cpu));
        let needed = weights + cache + needs.buffers;
        device.room_for(needed).map_err(|short| does_not_fit(short, advice(needs, opened)))?;
    }
    Ok(())
}

fn does_not_fit(short: Shortage, how: String) -> Error {
    let Shortage { device, needed, free } = short;
    Error::DoesNotFit { device, needed, free, how }
}

/// What would fit.
fn advice(needs: &Needs, opened: &[Opened]) -> String {
    let layers = needs.layers.len();
    match opened {
        [device] => match needs.fitting(device.free).min(layers.saturating_sub(1)) {
            0 => "none of its layers fit; a shorter context (--max-seq-len) needs less cache, and --backend cpu runs it on the CPU".to_owned(),
            fitting => format!(
                "{fitting} of its {layers} layers fit: --gpu-layers {fitting} leaves the others on the CPU; a shorter context (--max-seq-len) needs less cache"
            ),
        },
        _ => format!("name more devices, or leave some of its {layers} layers on the CPU with --gpu-layers"),
    }
}

fn layout(needs: &Needs, parts: &Parts, opened: &[Opened], has_cpu: bool) -> Layout {
    let name = |device: usize| match device.checked_sub(usize::from(has_cpu)) {
        None => ("CPU".to_owned(), None),
        Some(gpu) => (opened[gpu].name(), Some(opened[gpu].free)),
    };
    let row = |parts: String, on: usize, weights: u64, cache: u64| {
        let (device, free) = name(on);
        LayoutRow { parts, device, weights, cache, free }
    };
    let mut rows = vec![row("embeddings".to_owned(), parts.start, needs.start, 0)];
    for (range, device) in parts.runs() {
        let layers = &needs.layers[range.clone()];
        let weights = layers.iter().map(|layer| layer.weights).sum();
        let cache = layers.iter().map(|layer| layer.cache).sum();
        rows.push(row(format!("layers {} to {}", range.start, range.end - 1), device, weights, cache));
    }
    let copied = if parts.start == parts.end { 0 } else { needs.tied };
    rows.push(row("head".to_owned(), parts.end, needs.end + copied, 0));
    Layout { rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use torchless_device::LayerNeed;
    use torchless_device_gpu::driver::Limits;

    fn needs() -> Needs {
        let layer = LayerNeed { weights: 10 << 20, cache: 1 << 20 };
        Needs { start: 4 << 20, tied: 4 << 20, layers: vec![layer; 4], end: 1 << 20, buffers: 1 << 20 }
    }

    #[test]
    fn layers_go_to_devices_by_their_memory() {
        assert_eq!(shares(4, &[100]), [4]);
        assert_eq!(shares(4, &[100, 100]), [2, 2]);
        assert_eq!(shares(3, &[100, 100]), [2, 1]);
        assert_eq!(shares(4, &[300, 100]), [3, 1]);
        assert_eq!(shares(1, &[1, 100]), [1, 0]);
        assert_eq!(shares(0, &[100]), [0]);
    }

    #[test]
    fn the_first_layers_stay_on_the_cpu() {
        assert_eq!(parts(4, &[4]), Parts { start: 0, layers: vec![0; 4], end: 0 });
        assert_eq!(parts(4, &[1]), Parts { start: 0, layers: vec![0, 0, 0, 1], end: 1 });
        assert_eq!(parts(4, &[1, 2]), Parts { start: 0, layers: vec![0, 1, 2, 2], end: 2 });
        assert_eq!(parts(4, &[2, 2]), Parts { start: 0, layers: vec![0, 0, 1, 1], end: 1 });
    }

    #[test]
    fn a_tied_head_is_held_twice_where_parts_lie_apart() {
        let together = Parts { start: 0, layers: vec![0; 4], end: 0 };
        assert_eq!(held(&needs(), &together, 0), (45 << 20, 4 << 20));
        let apart = Parts { start: 0, layers: vec![0, 0, 0, 1], end: 1 };
        assert_eq!(held(&needs(), &apart, 0), (34 << 20, 3 << 20));
        assert_eq!(held(&needs(), &apart, 1), (15 << 20, 1 << 20));
    }

    #[test]
    fn a_table_says_what_lies_where() {
        let parts = Parts { start: 0, layers: vec![0; 4], end: 0 };
        let table = layout(&needs(), &parts, &[], true).to_string();
        let expected = "embeddings     CPU  weights 4.0 MiB, cache 0.0 MiB\n\
            layers 0 to 3  CPU  weights 40.0 MiB, cache 4.0 MiB\n\
            head           CPU  weights 1.0 MiB, cache 0.0 MiB\n";
        assert_eq!(table, expected);
    }

    /// An emulated device with so much memory; none where there is no C++ compiler.
    fn emulated(memory: u64) -> Option<Opened> {
        let limits = Limits { memory: Some(memory), programs: None };
        let mut drivers = torchless_gpu_emulator::drivers(&limits).into_iter();
        let found = drivers.find(|driver| driver.info().name.starts_with("emulated"));
        if found.is_none() {
            eprintln!("skipped: no emulated device");
        }
        found.map(Opened::new)
    }

    fn fits_on(opened: &[Opened], gpu_layers: usize) -> Result<(), Error> {
        let free: Vec<u64> = opened.iter().map(|device| device.free).collect();
        fits(&needs(), &parts(4, &shares(gpu_layers, &free)), opened, gpu_layers < 4)
    }

    #[test]
    fn a_model_larger_than_a_device_is_an_error_that_says_what_fits() {
        // Two layers of 11 MiB, the head with its copy of the table and the buffers.
        let Some(device) = emulated(30 << 20) else { return };
        let opened = [device];
        let error = fits_on(&opened, 4).unwrap_err();
        let Error::DoesNotFit { device, needed, free, how } = &error else { panic!("{error}") };
        assert_eq!((device, *needed, *free), (&opened[0].name(), 50 << 20, 30 << 20));
        assert!(how.contains("2 of its 4 layers fit: --gpu-layers 2"), "{how}");
        assert!(error.to_string().contains("needs 50.0 MiB on"), "{error}");
        assert_eq!(error.kind(), crate::ErrorKind::Resources);
        // The advice is true, and the best.
        assert!(fits_on(&opened, 2).is_ok());
        assert!(fits_on(&opened, 3).is_err());
    }

    #[test]
    fn a_device_without_room_for_one_layer_leaves_the_cpu() {
        let Some(device) = emulated(1 << 20) else { return };
        let error = fits_on(&[device], 4).unwrap_err().to_string();
        assert!(error.contains("none of its layers fit") && error.contains("--backend cpu"), "{error}");
    }

    #[test]
    fn several_devices_that_are_too_small_ask_for_more() {
        let opened: Vec<_> = std::iter::from_fn(|| emulated(20 << 20)).take(2).collect();
        if opened.len() < 2 {
            return;
        }
        let error = fits_on(&opened, 4).unwrap_err().to_string();
        assert!(error.contains("name more devices"), "{error}");
        assert!(fits_on(&opened, 2).is_ok());
    }

    #[test]
    fn devices_that_share_layers_need_room_for_their_parts() {
        let opened: Vec<_> = std::iter::from_fn(|| emulated(20 << 20)).take(2).collect();
        if opened.len() < 2 {
            return;
        }
        let part = |size: u64| {
            let layer = LayerNeed { weights: size, cache: 1 << 19 };
            Needs { start: 4 << 20, tied: 0, layers: vec![layer; 2], end: 1 << 20, buffers: 1 << 20 }
        };
        assert!(shared::fits(&[part(5 << 20), part(6 << 20)], &opened).is_ok());
        let error = shared::fits(&[part(5 << 20), part(7 << 20)], &opened).unwrap_err();
        let Error::DoesNotFit { needed, free, how, .. } = &error else { panic!("{error}") };
        assert_eq!((*needed, *free), (21 << 20, 20 << 20));
        assert!(how.contains("--split layers"), "{how}");
        let rows = shared::layout(&[part(5 << 20), part(6 << 20)], &opened).rows;
        let of =
            |parts: &str| rows.iter().filter(|row| row.parts == parts).map(|row| row.weights >> 20).collect();
        let layers: Vec<u64> = of("part of layers 0 to 1");
        assert_eq!((layers, rows.len()), (vec![10, 12], 6));
    }

    #[test]
    fn layers_are_shared_by_devices_that_are_named() {
        let place = Place::Gpu(Backend::OpenCl);
        let shared = Placement { place, split: Split::Tensor, devices: vec![0, 1], ..Placement::default() };
        refused(&Placement { devices: vec![0], ..shared.clone() }, "--device 0,1");
        assert!(shared.backend().is_ok());
        let asked = |placement: Placement| {
            let options = ModelOptions { placement, ..ModelOptions::default() };
            let needs = |_: usize| -> Result<Vec<Needs>, Error> { panic!("refused before") };
            plan(&options, &needs).unwrap_err().to_string()
        };
        let some = asked(Placement { gpu_layers: Some(3), ..shared.clone() });
        assert!(some.contains("leave out --gpu-layers"), "{some}");
        let cpu = asked(Placement { place: Place::Cpu, ..shared });
        assert!(cpu.contains("name another backend"), "{cpu}");
    }

    fn refused(placement: &Placement, words: &str) {
        let error = placement.backend().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let layers = Placement { gpu_layers: Some(3), ..Placement::default() };
        refused(&layers, "the CPU has no GPU layers");
        refused(&Placement { devices: vec![1], ..Placement::default() }, "the CPU has no GPU layers");
        for fraction in [0.0, -1.0, 1.1, f64::NAN] {
            refused(&Placement { memory_fraction: Some(fraction), ..Placement::default() }, "of the memory");
        }
        refused(&Placement { memory_fraction: Some(0.5), ..Placement::default() }, "name another backend");
        let place = Place::Gpu(Backend::OpenCl);
        refused(&Placement { place, devices: vec![0, 1, 0], ..Placement::default() }, "named twice");
    }

    #[test]
    fn no_layers_on_a_gpu_ask_for_nothing_that_is_not_there() {
        let none = Placement { gpu_layers: Some(0), ..Placement::default() };
        assert_eq!(none.backend().unwrap(), None);
        refused(&Placement { devices: vec![3], ..none.clone() }, "no numbered devices");
        refused(&Placement { memory_fraction: Some(0.5), ..none.clone() }, "name another backend");
        for backend in Backend::ALL {
            let placed = Placement { place: Place::Gpu(backend), ..none.clone() };
            match devices(backend) {
                Ok(_) => assert_eq!(placed.backend().unwrap(), None, "{backend}"),
                Err(error) => refused(&placed, &error.to_string()),
            }
            assert!(Placement { devices: vec![4096], ..placed }.backend().is_err(), "{backend}");
        }
    }

    #[test]
    fn the_cpu_shares_no_layers() {
        let alone = Placement { split: Split::Tensor, ..Placement::default() };
        refused(&alone, "--backend cuda --device 0,1");
        let gpu = Placement { place: Place::Gpu(Backend::OpenCl), ..alone };
        let error = gpu.backend().unwrap_err().to_string();
        assert!(error.contains("--device 0,1") && !error.contains("--backend"), "{error}");
    }
}
