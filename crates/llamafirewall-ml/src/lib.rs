//! Classifiers for the firewall: the [`Detector`] inside, which needs no file. It knows no policies: what follows from a
//! score is decided by scanners.

#![forbid(unsafe_code)]

mod detector;

pub use detector::{Detector, DetectorError, Judgement, Origin};
