//! Wherever weights live, products come out the same.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use std::ops::Range;
use std::sync::{Arc, Mutex};
use torchless_base::{BlockId, SeqId, StepPlan, TokenId, Wanted};
use torchless_device::{
    Activation, BufId, CpuDevice, CpuOptions, Device, Divide, Embed, Glu, Linear, MatrixId, MatrixSource,
    MatrixUse, Projection, Residency, Store, VectorId, WeightBytes,
};
use torchless_kernels::{Precision, available};
use torchless_quant::TensorType;

const COLS: usize = 256;
const ROWS: usize = 83;
const TOKENS: usize = 37;

/// Blocks of ones and zeros in their scales would hide mistakes: encode noise where there is an encoder, and use F16 elsewhere.
fn source(ty: TensorType, seed: usize) -> Option<MatrixSource> {
    // Not all types that files may have are for products.
    torchless_kernels::packed_bytes(ty, ROWS, COLS)?;
    let values: Vec<f32> =
        (0..ROWS * COLS).map(|i| ((i * 7919 + seed * 104729) % 1009) as f32 / 504.0 - 1.0).collect();
    let mut data = vec![0; ROWS * ty.row_bytes(COLS)?];
    let mut scales = vec![0; ROWS * ty.row_scale_bytes(COLS)?];
    if !ty.encode(&values, &mut data, &mut scales) {
        return None;
    }
    let scales = (!scales.is_empty()).then(|| Arc::new(scales) as Arc<dyn torchless_device::WeightBytes>);
    let (name, purpose) = (format!("{ty}"), MatrixUse::Both);
    Some(MatrixSource {
        name,
        purpose,
        ty,
        rows: ROWS,
        cols: COLS,
        data: Arc::new(data),
        scales,
        divide: Divide::Whole,
    })
}

struct Rig {
    device: CpuDevice,
    x: BufId,
    y: BufId,
    gate: MatrixId,
    up: MatrixId,
    bias: VectorId,
}

impl Rig {
    fn new(mut device: CpuDevice, ty: TensorType, residency: Residency) -> Option<Self> {
        let gate = device.matrix(&source(ty, 1)?, residency).unwrap();
        let up = device.matrix(&source(ty, 2)?, residency).unwrap();
        let bias: Vec<f32> = (0..ROWS).map(|i| i as f32 / 100.0).collect();
        let bias = device.vector("bias", &bias).unwrap();
        let x = device.buffer("x", TOKENS, COLS).unwrap();
        let y = device.buffer("y", TOKENS, ROWS).unwrap();
        Some(Self { device, x, y, gate, up, bias })
    }

    /// Looks rows up, multiplies, adds a second product with a bias, then a gated unit of the same rows.
    fn run(&mut self, tokens: usize) -> (Vec<f32>, Vec<f32>) {
        let mut plan = StepPlan::default();
        let ids: Vec<_> = (0..tokens).map(|i| TokenId((i * 5 % ROWS) as u32)).collect();
        plan.push((SeqId(0), 0), &ids, &[BlockId(0), BlockId(1)], Wanted::All);
        let device = &mut self.device;
        device.begin(&plan).unwrap();
        device.embed(&Embed { table: self.gate, scale: 0.5, positions: None, out: self.x }).unwrap();
        let project = |matrix, bias, store| Projection { matrix, bias, out: self.y, store };
        for projection in
            [project(self.gate, None, Store::Set), project(self.up, Some(self.bias), Store::Add)]
        {
            let op = Linear { rows: tokens, input: self.x, norm: None, projections: &[projection] };
            device.linear(&op).unwrap();
        }
        let mut linear = vec![0.0; tokens * ROWS];
        device.read(self.y, &mut linear).unwrap();
        let op = Glu {
            rows: tokens,
            input: self.x,
            norm: None,
            gate: (self.gate, Some(self.bias)),
            up: (self.up, None),
            act: Activation::Silu,
            out: self.y,
        };
        device.glu(&op).unwrap();
        let mut gated = vec![0.0; tokens * ROWS];
        device.read(self.y, &mut gated).unwrap();
        device.end().unwrap();
        (linear, gated)
    }
}

fn assert_close(a: &[f32], b: &[f32], what: &str) {
    let largest = a.iter().fold(0f32, |m, x| m.max(x.abs()));
    assert!(largest > 0.1, "{what}: nothing was computed");
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 1e-5 * largest, "{what}: {a} and {b}");
    }
}

#[test]
fn kernels_give_the_same_product_from_every_residency() {
    let mut types = 0;
    for &ty in TensorType::ALL {
        for &kernels in available() {
            for precision in [Precision::Fast, Precision::Exact] {
                let options = CpuOptions { kernels, threads: 2, precision };
                let rig = |residency| Rig::new(CpuDevice::new(options), ty, residency);
                let Some(mut resident) = rig(Residency::Resident) else { continue };
                types += 1;
                for limit in [None, Some(0), Some(25_000)] {
                    let mut other = rig(Residency::Mapped { limit }).unwrap();
                    for tokens in [1, 2, TOKENS] {
                        let what = format!("{ty} {} {precision:?} {limit:?} {tokens}", kernels.name);
                        let (one, two) = (resident.run(tokens), other.run(tokens));
                        assert_close(&one.0, &two.0, &what);
                        assert_close(&one.1, &two.1, &what);
                    }
                }
            }
        }
    }
    assert!(types > 0);
}

#[test]
fn packing_in_the_first_steps_changes_no_bit() {
    let kernels = *available().last().unwrap();
    let options = CpuOptions { kernels, threads: 2, precision: Precision::Fast };
    for &ty in TensorType::ALL {
        let Some(mut resident) = Rig::new(CpuDevice::new(options), ty, Residency::Resident) else { continue };
        let device = CpuDevice::new(options).packing_later();
        let mut later = Rig::new(device, ty, Residency::Resident).unwrap();
        for tokens in [TOKENS, 1, 2, 5, 1, TOKENS, 1] {
            assert!(resident.run(tokens) == later.run(tokens), "{ty}, {tokens} tokens");
        }
    }
}

/// How weights come that are not held.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Their pages are made resident.
    Pages,
    /// They are read into buffers.
    Read,
    /// Not at all.
    Lost,
}

/// Weights that write down which of them are resident, and which ever were.
struct Watched {
    data: Vec<u8>,
    way: Way,
    held: Mutex<Vec<Range<usize>>>,
    brought: Mutex<Vec<Range<usize>>>,
}

impl WeightBytes for Watched {
    fn bytes(&self) -> &[u8] {
        &self.data
    }

    fn will_need(&self, _: Range<usize>) {}

    fn release(&self, range: Range<usize>) {
        self.held.lock().unwrap().retain(|part| *part != range);
    }

    fn populate(&self, range: Range<usize>) -> std::io::Result<bool> {
        if self.way == Way::Lost {
            return Err(std::io::Error::other("the disk is gone"));
        }
        if self.way == Way::Pages {
            self.held.lock().unwrap().push(range.clone());
            self.brought.lock().unwrap().push(range);
        }
        Ok(self.way == Way::Pages)
    }

    fn read_at(&self, offset: usize, out: &mut [u8]) -> std::io::Result<bool> {
        out.copy_from_slice(&self.data[offset..offset + out.len()]);
        self.brought.lock().unwrap().push(offset..offset + out.len());
        Ok(true)
    }
}

/// More rows than are brought at once, and a last part that is shorter than the others.
#[test]
fn streamed_weights_are_brought_once_and_given_back() {
    const MANY: usize = 9001;
    let values: Vec<f32> = (0..MANY * COLS).map(|i| (i * 7919 % 1009) as f32 / 504.0 - 1.0).collect();
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let options =
        CpuOptions { kernels: available().last().unwrap(), threads: 2, precision: Precision::Exact };
    let run = |way, residency| {
        let watched =
            Arc::new(Watched { data: data.clone(), way, held: Mutex::default(), brought: Mutex::default() });
        let (name, purpose, ty) = ("gate".to_owned(), MatrixUse::Product, TensorType::F32);
        let source = MatrixSource {
            name,
            purpose,
            ty,
            rows: MANY,
            cols: COLS,
            data: watched.clone(),
            scales: None,
            divide: Divide::Whole,
        };
        let mut device = CpuDevice::new(options);
        let matrix = device.matrix(&source, residency).unwrap();
        let (x, y) = (device.buffer("x", 3, COLS).unwrap(), device.buffer("y", 3, MANY).unwrap());
        device.write(x, &values[..3 * COLS]).unwrap();
        let mut plan = StepPlan::default();
        plan.push((SeqId(0), 0), &[TokenId(0); 3], &[BlockId(0)], Wanted::All);
        device.begin(&plan).unwrap();
        let projections = &[Projection { matrix, bias: None, out: y, store: Store::Set }];
        let done = device.linear(&Linear { rows: 3, input: x, norm: None, projections });
        let mut out = vec![0.0; 3 * MANY];
        device.read(y, &mut out).unwrap();
        (done.map(|()| out), watched)
    };
    let (resident, _) = run(Way::Pages, Residency::Resident);
    for way in [Way::Pages, Way::Read] {
        let (streamed, watched) = run(way, Residency::Mapped { limit: Some(0) });
        assert_close(resident.as_ref().unwrap(), &streamed.unwrap(), &format!("{way:?}"));
        assert!(watched.held.lock().unwrap().is_empty(), "{way:?}");
        let mut brought = watched.brought.lock().unwrap().clone();
        brought.sort_by_key(|part| part.start);
        assert!(brought.len() > 8, "{way:?}: {} parts", brought.len());
        assert!(brought.windows(2).all(|two| two[0].end == two[1].start), "{way:?}: {brought:?}");
        assert_eq!((brought[0].start, brought[brought.len() - 1].end), (0, data.len()), "{way:?}");
    }
    let (lost, _) = run(Way::Lost, Residency::Mapped { limit: Some(0) });
    let error = lost.unwrap_err().to_string();
    assert!(error.contains("gate") && error.contains("the disk is gone"), "{error}");
}
