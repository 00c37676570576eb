//! Whether this libtorch works at all.

use tch::{Cuda, Device, Tensor};

#[test]
fn tensors_can_be_computed_with() {
    let a = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0]).view([2, 2]);
    let product = Vec::<Vec<f32>>::try_from(a.matmul(&a)).expect("numbers");
    assert_eq!(product, [[7.0, 10.0], [15.0, 22.0]]);
}

#[test]
fn devices_can_be_asked_for() {
    println!("CUDA available: {}", Cuda::is_available());
    println!("CUDA device count: {}", Cuda::device_count());
    println!("MPS available: {}", tch::utils::has_mps());
    assert_eq!(Cuda::is_available(), Cuda::device_count() > 0);
    assert!(Tensor::ones([2], (tch::Kind::Float, Device::Cpu)).device() == Device::Cpu);
}

#[test]
fn libtorch_is_the_one_that_tch_goes_with() {
    // Functions of another version would be missing or take other arguments; this one is recent.
    let x = Tensor::from_slice(&[0.0_f32]).gelu("none");
    assert_eq!(f32::try_from(x).expect("a number"), 0.0);
}
