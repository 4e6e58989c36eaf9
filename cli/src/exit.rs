//! Exit codes of the program.

#[cfg(feature = "server")]
mod server;

use std::error::Error;

use client::{ClientError, ErrorFormat};

#[cfg(feature = "server")]
pub(crate) use server::End;

/// Description of the codes for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage or configuration
  3  something it needs is unavailable; trying again may help
  4  refused, not found, or there already
  5  not signed in, or the token is no longer valid
  6  still waiting when the time limit ended; the work goes on
  7  differences or faults were found
  130  interrupted
`rts provision --exec` hands on the code of its command.";

const FAILED: u8 = 1;

/// Prints a failure as a sentence, or as a problem document where the command was asked for one.
pub(crate) fn report(error: &anyhow::Error, format: ErrorFormat) {
    let of_client = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>());
    match (of_client, format) {
        (Some(error), _) if error.is_silent() => {}
        (Some(error), ErrorFormat::Json) => client::note(error.to_json()),
        _ => client::note(format_args!("rts: {error:#}")),
    }
}

/// Returns the exit code of the first cause that has one.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(FAILED)
}

fn code_of(cause: &(dyn Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<ClientError>() {
        return Some(error.exit_code());
    }
    #[cfg(feature = "server")]
    return server::code_of(cause);
    #[cfg(not(feature = "server"))]
    None
}
