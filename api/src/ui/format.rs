//! Numbers and times as people read them.

use std::time::Duration;

use chrono::TimeDelta;

/// A value that stands for a number of seconds.
pub(crate) trait Seconds {
    /// Returns the seconds; never negative.
    fn seconds(&self) -> f64;
}

macro_rules! whole_seconds {
    ($($kind:ty),+) => {$(
        impl Seconds for $kind {
            #[expect(clippy::cast_precision_loss, reason = "times that people read")]
            fn seconds(&self) -> f64 { (*self as f64).max(0.0) }
        }
    )+};
}
whole_seconds!(i64, u64);

impl Seconds for f64 {
    fn seconds(&self) -> f64 {
        self.max(0.0)
    }
}

impl Seconds for i32 {
    fn seconds(&self) -> f64 {
        f64::from(*self).max(0.0)
    }
}

impl Seconds for u32 {
    fn seconds(&self) -> f64 {
        f64::from(*self)
    }
}

impl Seconds for Duration {
    fn seconds(&self) -> f64 {
        self.as_secs_f64()
    }
}

impl Seconds for TimeDelta {
    fn seconds(&self) -> f64 {
        self.to_std().unwrap_or_default().as_secs_f64()
    }
}

impl<T: Seconds + ?Sized> Seconds for &T {
    fn seconds(&self) -> f64 {
        (**self).seconds()
    }
}

/// Returns a span in its largest fitting unit: `0.6 s`, `48 s`, `12 min`, `26 h`, `3 d`.
pub(crate) fn span(span: impl Seconds) -> String {
    let seconds = span.seconds();
    match seconds {
        s if s < 0.05 => "0 s".to_owned(),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", (s / 60.0).floor()),
        s if s < 172_800.0 => format!("{:.0} h", (s / 3600.0).floor()),
        s => format!("{:.0} d", (s / 86_400.0).floor()),
    }
}

/// Returns a whole number with commas between thousands.
pub(crate) fn number(value: impl std::fmt::Display) -> String {
    let text = value.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text;
    }
    let mut grouped = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Returns a number with its noun: `1 worker`, `1,204 workers`.
pub(crate) fn count(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(value), if value == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_unit() {
        let cases = [(0.0, "0 s"), (0.6, "0.6 s"), (48.0, "48 s"), (119.0, "119 s"), (725.0, "12 min")];
        let more = [(93_600.0, "26 h"), (259_300.0, "3 d"), (-4.0, "0 s")];
        for (seconds, text) in cases.into_iter().chain(more) {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(span(48_i64), "48 s");
        assert_eq!(span(TimeDelta::minutes(3)), "3 min");
    }

    #[test]
    fn numbers_are_grouped() {
        for (value, text) in
            [(0_i64, "0"), (999, "999"), (1204, "1,204"), (-9_871, "-9,871"), (1_000_000, "1,000,000")]
        {
            assert_eq!(number(value), text);
        }
        assert_eq!(count(1, "worker", "workers"), "1 worker");
    }
}
