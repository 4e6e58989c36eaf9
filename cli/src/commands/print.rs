//! Commands that only print.

use crate::say;

/// `rts openapi`.
pub(crate) fn openapi() -> anyhow::Result<()> {
    say::line(serde_json::to_string_pretty(&api::description())?);
    Ok(())
}
