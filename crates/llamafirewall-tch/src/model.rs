//! A TorchScript module on a device.

use crate::{LOADER, device};
use anyhow::{Context, Result, anyhow, bail};
use llamafirewall_core::model_for;
use std::path::{Path, PathBuf};
use tch::{CModule, Device, IValue, Kind, Tensor};

/// A classifier of texts in TorchScript. Loaded once and shared: a forward pass changes nothing.
pub struct TchModel {
    module: CModule,
    device: Device,
    inputs: Inputs,
}

/// What the module is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inputs {
    /// Token ids; the module finds padding itself.
    Ids,
    /// Token ids, and 1 for each that is no padding.
    IdsAndMask,
}

impl TchModel {
    /// Loads the model of a file or a folder on the best device there is: CUDA, then MPS, then the CPU. In a folder, and in place of
    /// `promptguard.pt`, the file made for the device is taken where there is one (`promptguard_cuda.pt`, `promptguard_mps.pt`).
    ///
    /// # Errors
    /// There is no such file, it is no TorchScript, or no classifier of token ids.
    pub fn load(model_path: &str) -> Result<Self> {
        Self::load_on_device(model_path, device::best())
    }

    /// As [`TchModel::load`], on a certain device.
    ///
    /// # Errors
    /// The device is not there; otherwise as there.
    pub fn load_on_device(model_path: &str, device: Device) -> Result<Self> {
        check_device(device)?;
        let path = file(Path::new(model_path), device)?;
        tracing::debug!(target: LOADER, "Using device: {device:?}");
        tracing::debug!(target: LOADER, path = %path.display(), "loading");
        let mut module = CModule::load_on_device(&path, device).map_err(|e| {
            anyhow!(
                "{}: no TorchScript (a traced or scripted module, as scripts/export_to_jit.py writes it): {}",
                path.display(),
                first_line(&e.to_string())
            )
        })?;
        module.set_eval();
        let mut model = Self { module, device, inputs: Inputs::Ids };
        model.inputs = model.find_inputs().with_context(|| path.display().to_string())?;
        tracing::debug!(target: LOADER, inputs = ?model.inputs, "loaded");
        Ok(model)
    }

    /// Logits `[texts, labels]` of token ids `[texts, tokens]`, all of which count.
    ///
    /// # Errors
    /// The module fails, or gives no such logits.
    pub fn forward(&self, input_ids: &Tensor) -> Result<Tensor> {
        self.forward_masked(input_ids, &input_ids.ones_like())
    }

    /// The same where `mask`, of the same shape, is 1 for tokens and 0 for padding.
    ///
    /// # Errors
    /// As [`TchModel::forward`].
    pub fn forward_masked(&self, input_ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        self.call(input_ids, mask, self.inputs)
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Whether padded batches can be told from their masks, and not only from what the module knows itself.
    pub(crate) fn takes_mask(&self) -> bool {
        self.inputs == Inputs::IdsAndMask
    }

    /// Values in all parameters.
    pub(crate) fn parameters(&self) -> Result<usize> {
        Ok(self.module.named_parameters()?.iter().map(|(_, tensor)| tensor.numel()).sum())
    }

    fn call(&self, ids: &Tensor, mask: &Tensor, inputs: Inputs) -> Result<Tensor> {
        let on_device = |tensor: &Tensor| IValue::Tensor(tensor.to_kind(Kind::Int64).to_device(self.device));
        let given = match inputs {
            Inputs::Ids => vec![on_device(ids)],
            Inputs::IdsAndMask => vec![on_device(ids), on_device(mask)],
        };
        let found = tch::no_grad(|| self.module.forward_is(&given));
        let logits = logits(found.map_err(|e| anyhow!("{}", first_line(&e.to_string())))?)?;
        match logits.size()[..] {
            [texts, labels] if texts == ids.size()[0] && labels > 0 => {
                Ok(logits.to_kind(Kind::Float).to_device(Device::Cpu))
            }
            ref shape => bail!("the module gives {shape:?}, where [texts, labels] was expected"),
        }
    }

    /// Tries the module with one short text.
    fn find_inputs(&self) -> Result<Inputs> {
        let ids = Tensor::from_slice(&[1_i64, 2]).view([1, 2]);
        let mask = ids.ones_like();
        let with_ids = match self.call(&ids, &mask, Inputs::Ids) {
            Ok(_) => return Ok(Inputs::Ids),
            Err(error) => error,
        };
        match self.call(&ids, &mask, Inputs::IdsAndMask) {
            Ok(_) => Ok(Inputs::IdsAndMask),
            Err(error) => {
                bail!("not to be called with token ids ({with_ids}), nor with ids and mask ({error})")
            }
        }
    }
}

fn check_device(device: Device) -> Result<()> {
    let there = match device {
        Device::Cuda(i) => tch::Cuda::is_available() && (i as i64) < tch::Cuda::device_count(),
        Device::Mps => tch::utils::has_mps(),
        _ => true,
    };
    if !there {
        bail!("this libtorch finds no {device:?}: Device::Cpu would work");
    }
    Ok(())
}

fn file(path: &Path, device: Device) -> Result<PathBuf> {
    let Some(named) = device::named(device) else { return Ok(path.to_owned()) };
    model_for(path, named, |path| path.is_file()).with_context(|| {
        let names = named.file_names().join(" or ");
        format!("{}: no model; a file *.pt or a folder with {names} would work", path.display())
    })
}

/// The logits among what a module may return: a tensor, the first of several, or the entry of that name.
fn logits(found: IValue) -> Result<Tensor> {
    match found {
        IValue::Tensor(tensor) => Ok(tensor),
        IValue::Tuple(mut values) if !values.is_empty() => logits(values.swap_remove(0)),
        IValue::TensorList(mut tensors) if !tensors.is_empty() => Ok(tensors.swap_remove(0)),
        IValue::GenericDict(entries) => {
            let named = |(key, _): &(IValue, IValue)| *key == IValue::String("logits".to_owned());
            let entry =
                entries.into_iter().find(named).context("the module gives a dictionary without logits")?;
            logits(entry.1)
        }
        other => bail!("the module gives {}, no tensor", kind(&other)),
    }
}

fn kind(value: &IValue) -> &'static str {
    match value {
        IValue::None => "nothing",
        IValue::String(_) => "a text",
        IValue::Int(_) | IValue::Double(_) => "a number",
        _ => "something else",
    }
}

/// Errors of libtorch go on with a backtrace.
fn first_line(error: &str) -> &str {
    error.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown error").trim()
}
