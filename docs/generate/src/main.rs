//! `make reference`: writes docs/reference.

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let directory = headroom_docs::root().join(headroom_docs::DIRECTORY);
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for page in headroom_docs::pages()? {
        let path = directory.join(page.name);
        std::fs::write(&path, page.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
