//! Sources of kernels: a prelude that spells the dialect, constants, and parts that are the same for all.

use crate::driver::Dialect;

/// Kernels that are compiled together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// For messages, and to find what was compiled ahead; names the parts and the constants that matter.
    pub name: String,
    /// Constants: names and values, defined before the parts.
    pub defines: Vec<(&'static str, String)>,
    /// Parts, in order.
    pub parts: Vec<&'static str>,
}

impl Program {
    /// The whole text in a dialect.
    pub fn text(&self, dialect: Dialect) -> String {
        let mut text = String::from(prelude(dialect));
        for (name, value) in &self.defines {
            text.push_str(&format!("#define {name} {value}\n"));
        }
        for part in &self.parts {
            text.push_str(part);
            text.push('\n');
        }
        text
    }
}

fn prelude(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Cuda(..) | Dialect::Hip(_) => include_str!("../kernels/prelude/cuda.h"),
        Dialect::OpenCl => include_str!("../kernels/prelude/opencl.h"),
        Dialect::Metal => include_str!("../kernels/prelude/metal.h"),
    }
}
