//! Machines that are not here, as trees of files that the tests write.

mod linux;
mod selection;
mod tree;
