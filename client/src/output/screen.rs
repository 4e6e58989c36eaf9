//! The terminal's second screen, on which a command shows a frame again and again.

use std::{
    io::{self, Write},
    panic,
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::error::ClientError;

/// Shortest time between two looks, which keeps a command far below a caller's rate.
pub(super) const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Size of a terminal that does not tell its own.
const DEFAULT_SIZE: Size = Size { width: 100, height: 40 };

/// Size of a terminal, in characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Characters of a line.
    pub(crate) width: u16,
    /// Number of lines.
    pub(crate) height: u16,
}

impl Size {
    fn of_terminal() -> Self {
        let found = terminal_size::terminal_size();
        found.map_or(DEFAULT_SIZE, |(width, height)| Self { width: width.0, height: height.0 })
    }
}

/// The second screen, which is left at the end.
struct Screen;

impl Screen {
    /// Switches to the second screen and hides the cursor. A panic leaves it before it is reported, since the released
    /// program ends at once then.
    fn enter() -> Self {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |fault| {
            Self::leave();
            report(fault);
        }));
        print_raw("\u{1b}[?1049h\u{1b}[?25l");
        Self
    }

    /// Shows a frame from the first line on.
    fn show(frame: &str) {
        let lines: Vec<String> = frame.lines().map(|line| format!("{line}\u{1b}[K")).collect();
        print_raw(&format!("\u{1b}[H{}\u{1b}[J", lines.join("\r\n")));
    }

    fn leave() {
        print_raw("\u{1b}[?25h\u{1b}[?1049l");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        Self::leave();
    }
}

fn print_raw(text: &str) {
    let mut stdout = io::stdout().lock();
    // A terminal that is gone ends the program by a signal.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Shows a frame at each interval until Ctrl-C. `look` gets the size of the terminal. A service that is away
/// is asked again.
///
/// # Errors
/// Those of `look`, unless the service is away.
pub(crate) async fn show_repeatedly(
    interval: Duration,
    look: impl AsyncFn(Size) -> Result<String, ClientError>,
) -> Result<(), ClientError> {
    let fault = |error: io::Error| ClientError::Failed(format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    let mut ticks = tokio::time::interval(interval.max(MIN_INTERVAL));
    let _screen = Screen::enter();
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let looked = tokio::select! {
            looked = look(Size::of_terminal()) => looked,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        match looked {
            Ok(frame) => Screen::show(&frame),
            Err(error) if error.exit_code() == 3 => Screen::show(&format!("{error}; the next look is soon")),
            Err(error) => return Err(error),
        }
    }
}

/// Cuts lines and frame to the size of the terminal, and removes what could steer it.
pub(crate) fn fit(lines: Vec<String>, size: Size) -> String {
    let cut = |line: String| super::plain(&line).chars().take(usize::from(size.width)).collect();
    let mut fitting: Vec<String> = lines.into_iter().map(cut).collect();
    fitting.truncate(usize::from(size.height).max(1));
    fitting.join("\n")
}
