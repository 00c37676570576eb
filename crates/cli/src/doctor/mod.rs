//! What there is on this machine to run models with, and what that means. Looking is in `findings`; `advice` and `verdict` decide,
//! `text` tells.

pub mod advice;
pub mod findings;
pub mod text;
pub mod verdict;
