//! Everything that the doctor looks at.

use crate::output;
use serde::Serialize;
use torchless::ModelOptions;
use torchless::gpu::driver::{self, DeviceInfo, Hardware};
use torchless::hardware::{self, Installed, Isa, Machine, OperatingSystem};

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// The machine.
    pub machine: Machine,
    /// The table of CPU kernels that runs.
    pub kernels: &'static str,
    /// Those that this processor runs, the slowest first.
    pub available_kernels: Vec<&'static str>,
    /// Threads that a model gets.
    pub threads: usize,
    /// Interfaces to GPUs, the preferred ones first.
    pub backends: Vec<BackendFound>,
    /// libllama.
    pub libllama: LibllamaFound,
}

/// An interface to GPUs.
#[derive(Clone, Debug, Serialize)]
pub struct BackendFound {
    /// As `--backend` calls it.
    pub name: String,
    /// What it leads to.
    pub devices: Vec<DeviceFound>,
    /// Why it leads to nothing.
    pub error: Option<String>,
}

/// A device of an interface.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceFound {
    /// What `--device` takes.
    pub number: usize,
    /// What it is called.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Whether it is a graphics processor: only these are chosen unasked.
    pub is_gpu: bool,
    /// One line for people.
    #[serde(skip)]
    pub line: String,
}

/// libllama, or none.
#[derive(Clone, Debug, Serialize)]
pub struct LibllamaFound {
    /// The library that would be used; bytes of its name that are no UTF-8 stand as U+FFFD.
    pub path: Option<String>,
    /// Why it is that one, or why there is none.
    pub reason: String,
    /// The build that a folder of builds would be searched for first.
    pub variant: &'static str,
    /// Why.
    pub variant_reason: String,
    /// Those that were installed for the user.
    pub installed: Vec<Installed>,
}

impl Findings {
    /// Looks.
    ///
    /// # Errors
    /// Kernels are named that this processor does not run.
    pub fn look(options: &ModelOptions) -> Result<Self, torchless::Error> {
        let machine = hardware::detect();
        let libllama = libllama(&machine);
        Ok(Self {
            kernels: options.table()?.name,
            available_kernels: torchless::kernel_tables(),
            threads: options.thread_count(),
            backends: backends(),
            libllama,
            machine,
        })
    }
}

/// Every interface to GPUs, the preferred ones first.
pub fn backends() -> Vec<BackendFound> {
    driver::list().into_iter().map(backend).collect()
}

fn backend(found: driver::Found) -> BackendFound {
    let name = found.backend.to_string().to_lowercase();
    match found.devices {
        Ok(devices) => BackendFound { name, devices: devices.iter().map(device).collect(), error: None },
        Err(error) => BackendFound { name, devices: Vec::new(), error: Some(error.to_string()) },
    }
}

fn device(info: &DeviceInfo) -> DeviceFound {
    DeviceFound {
        number: info.ordinal,
        name: info.name.clone(),
        driver: info.driver.clone(),
        memory: info.memory,
        is_gpu: info.hardware == Hardware::Gpu,
        line: device_line(info),
    }
}

/// What is known of a device, on one line.
pub fn device_line(info: &DeviceInfo) -> String {
    let what = match info.hardware {
        Hardware::Gpu => "",
        Hardware::Cpu => ", a CPU: not chosen by auto",
        Hardware::Other => ", no GPU: not chosen by auto",
    };
    format!("{}  {}, {}, {}{what}", info.ordinal, info.name, output::size(info.memory), info.driver)
}

fn libllama(machine: &Machine) -> LibllamaFound {
    let folder = hardware::libraries_folder();
    let installed = folder.as_deref().map_or_else(Vec::new, |folder| {
        hardware::installed_libraries(folder, OperatingSystem::here(), Isa::here())
    });
    let (path, reason) = crate::libllama::found(&installed);
    let path = path.map(|path| path.to_string_lossy().into_owned());
    let suited = hardware::cpu_variants(&machine.cpu);
    let (variant, variant_reason) =
        suited.first().map_or(("standard", String::new()), |first| (first.name, first.reason.clone()));
    LibllamaFound { path, reason, variant, variant_reason, installed }
}
