//! Every layer on all devices at once, each of which has some of its heads and hidden values.

use super::{Layout, LayoutRow, does_not_fit, precision};
use crate::Error;
use crate::open::ModelOptions;
use torchless_device::{Device, Needs, Sharded};
use torchless_device_gpu::driver::{Opened, exchange};
use torchless_device_gpu::{Backend, GpuDevice};

/// What each of so many devices needs.
pub(super) type Asked<'a> = &'a dyn Fn(usize) -> Result<Vec<Needs>, Error>;

/// Devices that are open, and what will lie there.
pub(super) struct Planned {
    backend: Backend,
    opened: Vec<Opened>,
    pub(super) layout: Layout,
}

impl Planned {
    /// What is asked for, on devices that have room for it.
    ///
    /// # Errors
    /// The options contradict each other, a device is not there, or the model does not fit.
    pub(super) fn new(options: &ModelOptions, needs: Asked<'_>) -> Result<Self, Error> {
        let placement = &options.placement;
        let refused = |why: &str| Err(Error::Option(format!("devices that share every layer {why}")));
        let Some(backend) = placement.backend()? else {
            return refused("are GPUs: name a backend that has several");
        };
        if placement.gpu_layers.is_some() {
            return refused("leave none to the CPU: leave out --gpu-layers, or --split tensor");
        }
        let opened = placement.open(backend)?;
        let needs = needs(opened.len())?;
        fits(&needs, &opened)?;
        let layout = layout(&needs, &opened);
        Ok(Self { backend, opened, layout })
    }

    /// The devices as one.
    ///
    /// # Errors
    /// A device fails, or what adds up for them is not there.
    pub(super) fn open(self, options: &ModelOptions) -> Result<Box<dyn Device>, Error> {
        // Before the devices take memory: what is missing is told at once.
        let exchange = exchange(self.backend, &options.placement.devices)?;
        let open = |device: Opened| -> Result<Box<dyn Device>, Error> {
            Ok(Box::new(GpuDevice::new(device.driver, precision(options))?))
        };
        let devices = self.opened.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Box::new(Sharded::new(devices, exchange)))
    }
}

pub(super) fn fits(needs: &[Needs], opened: &[Opened]) -> Result<(), Error> {
    for (needs, device) in needs.iter().zip(opened) {
        let how = "name more devices, or leave some of its layers on the CPU with --split layers and --gpu-layers; a shorter context \
            (--max-seq-len) needs less cache";
        device.room_for(needs.total()).map_err(|short| does_not_fit(short, how.to_owned()))?;
    }
    Ok(())
}

/// Part by part, on one device after the other.
pub(super) fn layout(needs: &[Needs], opened: &[Opened]) -> Layout {
    let mut rows = Vec::new();
    let mut add = |parts: String, of: &dyn Fn(&Needs) -> (u64, u64)| {
        for (needs, device) in needs.iter().zip(opened) {
            let (weights, cache) = of(needs);
            let (parts, device, free) = (parts.clone(), device.name(), Some(device.free));
            rows.push(LayoutRow { parts, device, weights, cache, free });
        }
    };
    let count = needs.first().map_or(0, |needs| needs.layers.len());
    add("embeddings".to_owned(), &|needs| (needs.start, 0));
    add(format!("part of layers 0 to {}", count.saturating_sub(1)), &|needs| {
        let weights = needs.layers.iter().map(|layer| layer.weights).sum();
        (weights, needs.layers.iter().map(|layer| layer.cache).sum())
    });
    add("part of the head".to_owned(), &|needs| (needs.end, 0));
    Layout { rows }
}
