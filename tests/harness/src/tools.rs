//! Programs that some tests run beside the service.

use std::{io::Write, path::PathBuf};

/// Returns the path that the environment variable `name` gives. `./dev test` sets it when the tool is installed.
///
/// Without the tool there is nothing to run: this and `./dev` say aloud that the test is skipped.
#[expect(clippy::disallowed_methods, reason = "the environment names the tools of the tests")]
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os(name).map(PathBuf::from);
    if path.is_none() {
        // A closed stderr cannot be reported anywhere.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {name} is not set; ./dev test installs the tool");
    }
    path
}
