//! The GPU of Apple: found where there is one, refused with a reason where there is none.

mod support;

use llamafirewall_tch::{TchInferenceEngine, TchModel};
use support::path;
use tch::Device;

#[test]
fn mps_is_only_there_on_a_mac() {
    assert!(cfg!(target_os = "macos") || !tch::utils::has_mps());
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    if tch::utils::has_mps() {
        eprintln!("skipped: this machine has MPS");
        return;
    }
    let folder = support::folder(&["promptguard.pt"]);
    let refused = TchModel::load_on_device(&path(folder.path(), "promptguard.pt"), Device::Mps);
    let error = refused.err().expect("no MPS").to_string();
    assert!(error.contains("Mps") && error.contains("Cpu would work"), "{error}");
}

#[test]
fn mps_gives_what_the_cpu_gives() {
    if !tch::utils::has_mps() {
        eprintln!("skipped: this machine has no MPS");
        return;
    }
    let folder = support::folder(&["promptguard.pt", "promptguard_mps.pt"]);
    let (model, tokenizer) = (path(folder.path(), "promptguard.pt"), path(folder.path(), "tokenizer.json"));
    let on = |device| TchInferenceEngine::with_device(&model, &tokenizer, device).expect("an engine");
    let (mps, cpu) = (on(Device::Mps), on(Device::Cpu));
    assert_eq!(TchInferenceEngine::new(&model, &tokenizer).expect("an engine").device(), Device::Mps);
    let (a, b) = (mps.infer("t1 t7").expect("logits"), cpu.infer("t1 t7").expect("logits"));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3), "{a:?} and {b:?}");
}
