//! Writes the hostile native `.bin` files that the tests use, with a manifest and a small sound file of each other
//! format, into a folder:
//! `cargo run -p torchless-formats --example hostile_bins -- FOLDER`.

use std::path::PathBuf;

#[path = "../tests/hostile/mod.rs"]
mod hostile;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("give the folder to write to")?);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("sound.bin"), hostile::sound())?;
    std::fs::write(folder.join("sound_f16.bin"), hostile::sound_f16())?;
    std::fs::write(folder.join("sound.gguf"), hostile::small_gguf())?;
    std::fs::write(folder.join("sound.safetensors"), hostile::small_safetensors())?;
    let sound = |file| serde_json::json!({"file": file, "expect": "load", "why": "sound"});
    let mut manifest = vec![sound("sound.bin"), sound("sound_f16.bin")];
    for case in hostile::cases() {
        let file = format!("{}.bin", case.name);
        std::fs::write(folder.join(&file), case.bytes)?;
        manifest.push(serde_json::json!({"file": file, "expect": "reject", "why": case.why}));
    }
    std::fs::write(folder.join("MANIFEST.json"), serde_json::to_string_pretty(&manifest)?)?;
    eprintln!("wrote {} files and MANIFEST.json to {}", manifest.len(), folder.display());
    Ok(())
}
