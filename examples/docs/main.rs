//! Writes the completions and man pages that are checked in: `make docs`.

mod generate;

fn main() -> std::io::Result<()> {
    for (path, text) in generate::all() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::fs::read(&path).ok().as_ref() != Some(&text) {
            println!("writing {}", path.display());
            std::fs::write(path, text)?;
        }
    }
    Ok(())
}
