//! Which file of a model folder is run on which device: TorchScript files by their documented names. Pure functions;
//! nothing is opened here.

use std::path::{Path, PathBuf};

/// Where TorchScript runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TorchDevice {
    /// A GPU of NVIDIA.
    Cuda,
    /// A GPU of Apple.
    Mps,
    /// The processor.
    Cpu,
}

impl TorchDevice {
    /// The best of what there is: CUDA, then MPS, then the CPU.
    pub fn best(has_cuda: impl FnOnce() -> bool, has_mps: impl FnOnce() -> bool) -> Self {
        if has_cuda() {
            TorchDevice::Cuda
        } else if has_mps() {
            TorchDevice::Mps
        } else {
            TorchDevice::Cpu
        }
    }

    /// Names of the files that fit, best first: one made for the device, then the one for all.
    pub fn file_names(self) -> &'static [&'static str] {
        match self {
            TorchDevice::Cuda => &["promptguard_cuda.pt", GENERAL],
            TorchDevice::Mps => &["promptguard_mps.pt", GENERAL],
            TorchDevice::Cpu => &[GENERAL],
        }
    }
}

/// The file that a path of a user stands for on a device: within a folder the one that fits best, beside the model for all the one made for
/// the device, and any other file itself. `exists` says which ones are there.
pub fn model_for(path: &Path, device: TorchDevice, exists: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let is_general = path.file_name().is_some_and(|name| name == GENERAL);
    match path.parent() {
        Some(folder) if is_general => select_model(folder, device, exists),
        _ if path.extension().is_some_and(|end| end == "pt") => exists(path).then(|| path.to_owned()),
        _ => select_model(path, device, exists),
    }
}

/// The model that runs on any device.
const GENERAL: &str = "promptguard.pt";

/// The first file of `folder` that fits the device; `exists` says which ones are there.
pub fn select_model(folder: &Path, device: TorchDevice, exists: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    device.file_names().iter().map(|name| folder.join(name)).find(|path| exists(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(device: TorchDevice, there: &[&str]) -> Option<String> {
        let exists = |path: &Path| there.iter().any(|name| path.ends_with(name));
        let path = select_model(Path::new("models"), device, exists)?;
        Some(path.file_name()?.to_str()?.to_owned())
    }

    #[test]
    fn a_file_for_the_device_comes_first() {
        let all = ["promptguard.pt", "promptguard_mps.pt", "promptguard_cuda.pt"];
        assert_eq!(selected(TorchDevice::Cuda, &all).unwrap(), "promptguard_cuda.pt");
        assert_eq!(selected(TorchDevice::Mps, &all).unwrap(), "promptguard_mps.pt");
        assert_eq!(selected(TorchDevice::Cpu, &all).unwrap(), "promptguard.pt");
        assert_eq!(selected(TorchDevice::Cuda, &all[..2]).unwrap(), "promptguard.pt");
        assert_eq!(selected(TorchDevice::Cpu, &all[1..]), None);
    }

    #[test]
    fn a_path_stands_for_what_fits_the_device() {
        let there = ["promptguard.pt", "promptguard_mps.pt", "mine.pt"];
        let exists = |path: &Path| there.iter().any(|name| path.ends_with(name));
        let found = |path: &str, device| {
            let path = model_for(Path::new(path), device, exists)?;
            Some(path.to_str()?.replace('\\', "/"))
        };
        assert_eq!(found("models", TorchDevice::Mps).unwrap(), "models/promptguard_mps.pt");
        assert_eq!(found("models/promptguard.pt", TorchDevice::Mps).unwrap(), "models/promptguard_mps.pt");
        assert_eq!(found("models/promptguard.pt", TorchDevice::Cuda).unwrap(), "models/promptguard.pt");
        assert_eq!(
            found("models/promptguard_mps.pt", TorchDevice::Cpu).unwrap(),
            "models/promptguard_mps.pt"
        );
        assert_eq!(found("mine.pt", TorchDevice::Cuda).unwrap(), "mine.pt");
        assert_eq!(found("other.pt", TorchDevice::Cpu), None);
    }

    #[test]
    fn cuda_before_mps_before_the_cpu() {
        assert_eq!(TorchDevice::best(|| true, || true), TorchDevice::Cuda);
        assert_eq!(TorchDevice::best(|| false, || true), TorchDevice::Mps);
        assert_eq!(TorchDevice::best(|| false, || false), TorchDevice::Cpu);
    }
}
