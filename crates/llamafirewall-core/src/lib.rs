//! Firewall core: admission of conversations; knows no models and no network.

#![forbid(unsafe_code)]
