//! Commands that only print.

use std::path::Path;

use anyhow::Context;

use crate::{help, output};

/// `rts openapi`.
pub(crate) fn openapi() -> anyhow::Result<()> {
    output::line(serde_json::to_string_pretty(&api::description())?);
    Ok(())
}

/// `rts man`.
pub(crate) fn man(folder: &Path) -> anyhow::Result<()> {
    let written = || {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(help::plain_command(), folder)
    };
    written().with_context(|| format!("cannot write to {}", folder.display()))
}
