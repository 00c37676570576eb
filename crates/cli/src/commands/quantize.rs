//! `torchless quantize`: a model file with weights of fewer bits.

use crate::args::QuantizeArgs;
use crate::exit::Usage;
use crate::{open, output};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use torchless::{FILE_TYPES, FileType, Importance, Overrides, Quantize, TensorType, quantize};

/// Runs the verb. What is there already is replaced only once the new file is whole.
pub fn run(args: &QuantizeArgs) -> Result<()> {
    let file = FileType::from_name(&args.ty).ok_or_else(|| {
        let known: Vec<_> = FILE_TYPES.iter().map(|file| file.name).collect();
        Usage(format!("'{}' is no kind of quantised file (there are: {})", args.ty, known.join(", ")))
    })?;
    let importance = args.imatrix.as_deref().map(Importance::open).transpose()?;
    let overrides = Overrides {
        output: args.output_tensor_type.as_deref().map(tensor_type).transpose()?,
        embedding: args.token_embedding_type.as_deref().map(tensor_type).transpose()?,
        pure: args.pure,
    };
    let how = Quantize {
        file,
        overrides,
        requantize: args.allow_requantize,
        leave_output: args.leave_output_tensor,
        importance: importance.as_ref(),
        threads: args.threads,
    };
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{pos} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let source = open::source(Some(&args.input));
    let done = quantize(&source, &args.output, &how, &mut |name, ty| {
        bar.inc(1);
        bar.set_message(format!("{name} as {ty}"));
    });
    bar.finish_and_clear();
    let done = done?;
    let bits = |bytes: u64| 8.0 * bytes as f64 / done.values.max(1) as f64;
    output::note(&format!(
        "{} tensors, {} -> {} ({:.2} -> {:.2} bits per weight) in {}",
        done.tensors,
        output::size(done.bytes.0),
        output::size(done.bytes.1),
        bits(done.bytes.0),
        bits(done.bytes.1),
        args.output.display()
    ));
    if done.blind > 0 {
        output::note(&format!(
            "note: {} tensors have three bits or fewer and no importance matrix: with --imatrix the model loses less",
            done.blind
        ));
    }
    Ok(())
}

/// A type that can be written, by its name.
fn tensor_type(name: &str) -> Result<TensorType, Usage> {
    let writes = |ty: &&TensorType| {
        let info = ty.info();
        info.encode.is_some() && info.ggml_id.is_some()
    };
    TensorType::ALL
        .iter()
        .filter(writes)
        .find(|ty| ty.info().name.eq_ignore_ascii_case(name))
        .copied()
        .ok_or_else(|| {
            let known: Vec<_> = TensorType::ALL.iter().filter(writes).map(|ty| ty.info().name).collect();
            Usage(format!("'{name}' is no tensor type that can be written (there are: {})", known.join(", ")))
        })
}
