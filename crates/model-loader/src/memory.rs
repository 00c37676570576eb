//! Memory: what a context needs, and what is free.

use crate::Model;
use crate::config::KvType;

/// Bytes that this process could still use; `None` where the system does not say.
pub fn free() -> Option<u64> {
    tabagent_hardware::memory().map(|memory| memory.available)
}

/// Bytes of keys and values for `positions`; `None` for models that keep something else.
pub fn of_cache(model: &Model, positions: u64, kv_type: KvType) -> Option<u64> {
    let metadata = model.metadata();
    let value = |key: &str| metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let arch = value("general.architecture")?;
    let number = |key: &str| value(&format!("{arch}.{key}"))?.parse::<u64>().ok();
    if model.is_recurrent() || number("attention.kv_lora_rank").is_some() {
        return None;
    }
    let heads = (model.head_count() as u64).max(1);
    let head_dim = model.embedding_dim() as u64 / heads;
    let kv_heads = number("attention.head_count_kv").unwrap_or(heads);
    let keys = number("attention.key_length").unwrap_or(head_dim);
    let values = number("attention.value_length").unwrap_or(head_dim);
    let per_position =
        (model.layer_count() as u64).checked_mul(kv_heads)?.checked_mul(keys.checked_add(values)?)?;
    per_position.checked_mul(positions)?.checked_mul(kv_type.bytes_of_32()).map(|bits| bits / 32)
}
