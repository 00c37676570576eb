//! What this machine is, and which build of libllama suits it.

use crate::failure::Failure;
use crate::waiting::{detached, wait_for};
use pyo3::prelude::*;
use std::path::PathBuf;
use tabagent_hardware::detect;

/// Name of the build of libllama that was made for this machine's processor; `standard` where none was.
#[pyfunction]
pub fn get_cpu_variant(py: Python<'_>) -> PyResult<&'static str> {
    detached(py, || Ok(tabagent_hardware::get_cpu_variant()))
}

/// The best build of libllama for this machine in a folder, as JSON: what it is, why, and what was passed over.
#[pyfunction]
pub fn choose_binary(py: Python<'_>, folder: PathBuf) -> PyResult<String> {
    wait_for(py, move |_| {
        let choice = tabagent_hardware::get_optimal_binary(&folder);
        json(&choice.map_err(|e| Failure::Usage(e.to_string()))?)
    })
}

/// The machine, as JSON.
#[pyfunction]
pub fn hardware(py: Python<'_>) -> PyResult<String> {
    wait_for(py, |_| json(&detect()))
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|_| Failure::Internal("what was found is no JSON"))
}
