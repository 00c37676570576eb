//! Launches of one step, in order, and the kernels they start.

use super::programs::{Family, program};
use crate::GpuError;
use crate::driver::{Arg, Driver, KernelId, Launch, MemoryId};
use std::collections::HashMap;

/// Kernels that have been compiled.
#[derive(Default)]
pub(super) struct Kernels {
    found: HashMap<(Family, &'static str), KernelId>,
}

impl Kernels {
    /// A kernel by its program and name; compiled when first asked for.
    ///
    /// # Errors
    /// The program does not compile.
    pub(super) fn get(
        &mut self,
        driver: &mut dyn Driver,
        family: Family,
        name: &'static str,
    ) -> Result<KernelId, GpuError> {
        if let Some(kernel) = self.found.get(&(family, name)) {
            return Ok(*kernel);
        }
        let id = driver.program(&program(family, driver.info().dialect))?;
        let kernel = driver.kernel(id, name)?;
        self.found.insert((family, name), kernel);
        Ok(kernel)
    }
}

/// Arguments of a kernel, put together in the order of its declaration.
#[derive(Default)]
pub(super) struct Args {
    list: Vec<Arg>,
    local: usize,
    /// Whether a number was beyond what kernels count with.
    pub(super) is_beyond: bool,
}

impl Args {
    /// Pointers come first.
    pub(super) fn of(memories: &[MemoryId]) -> Self {
        let mut list = Vec::with_capacity(24);
        list.extend(memories.iter().map(|&m| Arg::Memory(m)));
        Self { list, ..Self::default() }
    }

    /// Then whole numbers.
    pub(super) fn ints(mut self, values: &[usize]) -> Self {
        for &value in values {
            let int = i32::try_from(value);
            self.is_beyond |= int.is_err();
            self.list.push(Arg::Int(int.unwrap_or(0)));
        }
        self
    }

    /// Then fractions.
    pub(super) fn floats(mut self, values: &[f32]) -> Self {
        self.list.extend(values.iter().map(|&x| Arg::Float(x)));
        self
    }

    /// Bytes that each group shares beyond what the kernel declares.
    pub(super) fn sharing(self, local: usize) -> Self {
        Self { local, ..self }
    }
}

/// How many threads do the work.
#[derive(Clone, Copy)]
pub(super) enum Grid {
    /// At least this many threads on one axis.
    Threads(usize),
    /// Groups on three axes, and threads of a group.
    Groups([usize; 3], usize),
}

/// Threads of a group where a kernel does not say.
const GROUP: usize = 128;

/// Launches that wait to be given to the driver.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) launches: Vec<Launch>,
}

impl Queue {
    /// Appends a launch; nothing where there is no work.
    pub(super) fn push(&mut self, kernel: KernelId, grid: Grid, args: Args) {
        let (groups, threads) = match grid {
            Grid::Threads(n) => ([n.div_ceil(GROUP), 1, 1], GROUP),
            Grid::Groups(groups, threads) => (groups, threads),
        };
        if groups.contains(&0) {
            return;
        }
        // Numbers of kernels are below 2^31, and groups are no more than threads.
        let groups = groups.map(|n| n as u32);
        self.launches.push(Launch {
            kernel,
            groups,
            threads: [threads as u32, 1, 1],
            local: args.local as u32,
            args: args.list,
        });
    }
}
