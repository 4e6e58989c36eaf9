//! Commands that only print.

use crate::output;

/// `rts openapi`.
pub(crate) fn openapi() -> anyhow::Result<()> {
    output::line(serde_json::to_string_pretty(&api::description())?);
    Ok(())
}
