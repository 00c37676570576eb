//! Keeps README.md and the guide true: Rust blocks are compiled, console blocks run, links followed.
//!
//! Rust blocks are documentation tests of this crate. Console blocks are run by a test of the command, which knows
//! where the command is. Nothing here is linked into the program.

#![forbid(unsafe_code)]

pub mod console;
pub mod markdown;

/// One Markdown file that people read.
#[derive(Debug)]
pub struct Page {
    /// Path below the repository root.
    pub path: &'static str,
    /// Its whole text.
    pub text: &'static str,
}

macro_rules! pages {
    ($($name:ident $path:literal)* $(; elsewhere $($other:literal)*)?) => {
        /// Every page that is checked; a test compares the list with the files.
        pub const PAGES: &[Page] = &[
            $(Page { path: $path, text: include_str!(concat!("../../../", $path)) },)*
            $($(Page { path: $other, text: include_str!(concat!("../../../", $other)) },)*)?
        ];

        #[cfg(doctest)]
        mod compiled {
            $(#[doc = include_str!(concat!("../../../", $path))] pub struct $name;)*
        }
    };
}

pages! {
    Architecture "ARCHITECTURE.md"
    Changelog "CHANGELOG.md"
    Contributing "CONTRIBUTING.md"
    Readme "README.md"
    Security "SECURITY.md"
    Style "STYLE.md"
    Summary "docs/SUMMARY.md"
    AddingAnArchitecture "docs/adding-an-architecture.md"
    BackendSystem "docs/architecture/backend-system.md"
    ModelArchitectures "docs/architecture/model-architectures.md"
    TensorStorage "docs/architecture/tensor-storage.md"
    Chat "docs/chat.md"
    Development "docs/development.md"
    Doctor "docs/doctor.md"
    Encoders "docs/encoders.md"
    FirewallCodeshield "docs/firewall/codeshield.md"
    GuardModelCard "docs/firewall/guard-model-card.md"
    PromptGuard "docs/firewall/prompt-guard.md"
    FirewallDifferences "docs/firewall/differences.md"
    FirewallPage "docs/firewall/firewall.md"
    FirewallPolicies "docs/firewall/policies.md"
    FirewallScanners "docs/firewall/scanners.md"
    ModelFormats "docs/formats/model-formats.md"
    GettingStarted "docs/getting-started.md"
    GpuBackends "docs/gpu/backends.md"
    GpuKernels "docs/gpu/kernels.md"
    GpuPlacement "docs/gpu/placement.md"
    Libllama "docs/libllama.md"
    Library "docs/library.md"
    Lora "docs/lora.md"
    Build "docs/optimization/build.md"
    Memory "docs/optimization/memory.md"
    ModelLoader "docs/model-loader.md"
    Quantization "docs/optimization/quantization.md"
    Simd "docs/optimization/simd.md"
    Params "docs/params.md"
    Performance "docs/performance.md"
    Python "docs/python.md"
    SecurityPage "docs/security.md"
    Tokenizers "docs/tokenizers.md"
    // Its Rust blocks are documentation tests of crate llamafirewall-tch, which has libtorch.
    ; elsewhere "docs/firewall/libtorch.md"
}
