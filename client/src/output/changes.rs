//! Blocks of a command that watches something where there is no terminal: one for each change.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{
    print::{line, note},
    screen::MIN_INTERVAL,
};
use crate::error::ClientError;

/// Prints a block at first and whenever its key is another one, until the reader of stdout or the process ends. `look`
/// returns key and block. A service that is away is asked again.
///
/// # Errors
/// Those of `look`, unless the service is away.
pub(crate) async fn print_changes<K: PartialEq>(
    period: Duration,
    look: impl AsyncFn() -> Result<(K, String), ClientError>,
) -> Result<(), ClientError> {
    let mut ticks = interval(period.max(MIN_INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut is_away) = (None, false);
    loop {
        ticks.tick().await;
        match look().await {
            Ok((key, block)) => {
                is_away = false;
                // Nothing to show is no empty line for programs.
                if last.as_ref() != Some(&key) && !block.is_empty() && !line(block) {
                    return Ok(());
                }
                last = Some(key);
            }
            Err(error) if error.exit_code() == 3 => {
                if !is_away {
                    note(format_args!("{error}; the service is asked again"));
                }
                is_away = true;
            }
            Err(error) => return Err(error),
        }
    }
}
