//! Lengths of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config::tree::quote;

use super::{ScalarError, refuse, written_as_text};

/// A length of time in whole seconds, from a second to a year: `90s`, `10m`, `1h30m`, `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u64);

written_as_text!(Period);

/// Days, hours, minutes, seconds: in the order in which they are written.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

const YEAR: u64 = 366 * 86_400;

impl Period {
    /// So many seconds; as many as there may be, if they are more or none.
    pub(in crate::config) const fn from_seconds(seconds: u64) -> Self {
        Self(if seconds == 0 || seconds > YEAR { YEAR } else { seconds })
    }

    /// As a duration.
    pub fn as_duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// In seconds.
    pub fn as_seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Period {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let no = || {
            refuse(format!("{} is not a length of time: write e.g. 90s, 10m, 1h30m or 2d, a year at most", quote(text)))
        };
        let mut seconds = 0_u64;
        let mut rest = text;
        let mut units = UNITS.iter();
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (digits, after) = rest.split_at(end);
            // A unit stands once, the greater one first.
            let factor = after.chars().next().and_then(|c| units.find(|(unit, _)| *unit == c));
            let part = digits.parse::<u64>().ok().zip(factor).and_then(|(n, (_, factor))| n.checked_mul(*factor));
            let Some(sum) = part.and_then(|part| seconds.checked_add(part)) else {
                return no();
            };
            seconds = sum;
            rest = &after[1..];
        }
        if (1..=YEAR).contains(&seconds) { Ok(Self(seconds)) } else { no() }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (unit, factor) in UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, seconds, shown) in [
            ("90s", 90, "1m30s"),
            ("10m", 600, "10m"),
            ("24h", 86_400, "1d"),
            ("1h30m", 5_400, "1h30m"),
            ("2d", 172_800, "2d"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.as_seconds(), period.to_string().as_str()), (seconds, shown));
        }
        for text in
            ["", "10", "m", "1m1h", "1h1h", "0s", "-1s", "1.5h", "400d", "10min", "1h ", "99999999999999999999s", "1é"]
        {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}
