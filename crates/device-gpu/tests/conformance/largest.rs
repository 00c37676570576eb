//! Lists of the largest values of rows, held against sorting them.

use super::{Rig, drivers, noise, plan};
use torchless_base::{Logits, Scored, TokenId};
use torchless_device::{Device, Largest, Listed, Precision};
use torchless_device_gpu::GpuDevice;
use torchless_device_gpu::driver::{Limits, usual_folder};

/// Calls `case` with every device.
fn on_each(case: &dyn Fn(&str, GpuDevice)) {
    let limits = Limits { memory: None, programs: usual_folder() };
    for driver in drivers(&limits) {
        let name = driver.info().name.clone();
        case(&name, GpuDevice::new(driver, Precision::Exact).unwrap());
    }
}

/// Of the rows of a test, in their order.
const TEMPERATURES: [f32; 3] = [0.7, 0.0, 1.3];

/// Well within what may be between a mass and the exact sum.
fn check_mass(mass: Option<f32>, row: &[f32], temperature: f32) {
    assert_eq!(mass.is_some(), temperature > 0.0);
    let Some(mass) = mass.map(f64::from) else { return };
    let most = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let weigh = |&x: &f32| ((f64::from(x) - most) / f64::from(temperature)).exp();
    let want: f64 = if most == f64::NEG_INFINITY { 0.0 } else { row.iter().map(weigh).sum() };
    let far = (mass - want).abs();
    assert!(far <= want * Logits::MASS_ERROR / 4.0, "{mass}, should be {want}, at {temperature}");
}

/// What a device lists of `rows`, each `width` wide; none where it says that there are no numbers.
fn listed(device: &mut GpuDevice, values: &[f32], width: usize, count: usize) -> Option<Vec<Vec<Scored>>> {
    let rows = values.len() / width;
    let input = device.buffer("logits", rows, width).unwrap();
    device.begin(&plan(0, 0, rows)).unwrap();
    device.write(input, values).unwrap();
    let mut lists = Logits::default();
    let temperatures = &TEMPERATURES[..rows];
    let found = device.largest(&Largest { rows, input, count, temperatures }, &mut lists).unwrap();
    device.end().unwrap();
    if found == Listed::All {
        for (row, values) in values.chunks_exact(width).enumerate() {
            check_mass(lists.mass(row), values, temperatures[row]);
        }
    }
    (found == Listed::All).then(|| (0..rows).map(|row| lists.list(row).unwrap().to_vec()).collect())
}

/// All values above -inf, the largest first, of equal ones the first.
fn sorted(row: &[f32]) -> Vec<Scored> {
    let all = (0..).zip(row).map(|(id, &logit)| Scored { token: TokenId(id), logit });
    let mut all: Vec<_> = all.filter(|scored| scored.logit > f32::NEG_INFINITY).collect();
    all.sort_by(|a, b| b.logit.partial_cmp(&a.logit).unwrap());
    all
}

#[track_caller]
fn check(values: &[f32], width: usize, count: usize) {
    on_each(&|name, mut device| {
        let lists = listed(&mut device, values, width, count).unwrap();
        for (row, list) in values.chunks_exact(width).zip(&lists) {
            let mut want = sorted(row);
            assert!(list.len() >= count.min(want.len()), "{name}: {} of {count} values", list.len());
            want.truncate(list.len());
            let bits =
                |list: &[Scored]| list.iter().map(|s| (s.token, s.logit.to_bits())).collect::<Vec<_>>();
            assert_eq!(bits(list), bits(&want), "{name}, {width} wide, {count} listed");
        }
    });
}

#[test]
fn the_largest_values_come_in_order() {
    for (width, count) in
        [(1, 1), (5, 5), (127, 1), (128, 7), (4096, 48), (4097, 1), (33_000, 1), (33_000, 100), (33_000, 128)]
    {
        check(&noise(3 * width, width + count), width, count);
    }
}

#[test]
fn of_equal_values_the_first_come_first() {
    let coarse: Vec<f32> = noise(2 * 9000, 5).iter().map(|x| (x * 2.0).round() / 2.0).collect();
    assert!(coarse.iter().any(|x| x.to_bits() == 1 << 31) && coarse.contains(&0.5), "zeros of both signs");
    for count in [1, 3, 64] {
        check(&coarse, 9000, count);
        check(&vec![-0.25; 9000], 9000, count);
    }
}

#[test]
fn infinities_below_are_not_listed() {
    let mut values = vec![f32::NEG_INFINITY; 3 * 5000];
    check(&values, 5000, 20);
    for (i, x) in [(17, 2.0), (4999, -f32::MAX), (5000, f32::MAX), (5001, -1e-40), (9000, 1e-40)] {
        values[i] = x;
    }
    check(&values, 5000, 20);
}

#[test]
fn what_is_no_logit_is_told() {
    for wrong in [f32::NAN, -f32::NAN, f32::INFINITY] {
        for at in [0, 4999, 5000, 14_999] {
            on_each(&|name, mut device| {
                let mut values = noise(3 * 5000, 2);
                values[at] = wrong;
                assert_eq!(listed(&mut device, &values, 5000, 4), None, "{name}: {wrong} at {at}");
            });
        }
    }
}

#[test]
fn lists_follow_what_was_asked_for_before() {
    on_each(&|name, device| {
        let mut rig = Rig::new(Box::new(device));
        let input = rig.input(&noise(4 * 300, 8), 300);
        rig.begin(&plan(0, 0, 4));
        rig.device.add(4, input, -1.0, input).unwrap();
        rig.device.elementwise(4, torchless_device::Elementwise::Scale(2.0), input).unwrap();
        let mut lists = Logits::default();
        rig.device.largest(&Largest { rows: 4, input, count: 2, temperatures: &[] }, &mut lists).unwrap();
        assert!(lists.list(3).unwrap().iter().take(2).all(|s| s.logit == 0.0), "{name}");
    });
}

/// As far apart as logits come.
#[test]
fn masses_of_flat_and_of_steep_rows() {
    for size in [0.01, 30.0, 1000.0] {
        let values: Vec<f32> = noise(3 * 33_000, 7).iter().map(|x| x * size).collect();
        check(&values, 33_000, 16);
    }
}
