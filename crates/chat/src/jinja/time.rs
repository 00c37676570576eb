//! Dates as `strftime` writes them. What time it is, is an argument.

use super::error::{Result, value_error};
use super::text::{Text, TextBuilder};

/// A date and time of day, without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilTime {
    year: i64,
    month: u32,
    day: u32,
    /// Since midnight.
    second: u32,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl CivilTime {
    /// Seconds since 1970-01-01 00:00, leap seconds not counted.
    ///
    /// The calendar is the proleptic Gregorian one, in 400-year cycles of 146097 days that begin in March.
    pub fn from_unix(seconds: i64) -> Self {
        let (days, second) = (seconds.div_euclid(86400), seconds.rem_euclid(86400) as u32);
        let shifted = days + 719_468;
        let (cycle, day_of_cycle) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_cycle =
            (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36524 - day_of_cycle / 146_096) / 365;
        let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
        let month = (if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 }) as u32;
        let year = year_of_cycle + 400 * cycle + i64::from(month <= 2);
        Self { year, month, day, second }
    }

    fn is_leap(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    /// Counted from 1.
    fn day_of_year(&self) -> u32 {
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][self.month as usize - 1];
        before + self.day + u32::from(self.month > 2 && self.is_leap())
    }

    /// Counted from Sunday, 0.
    fn weekday(&self) -> u32 {
        let y = self.year - 1;
        let days = y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400);
        (days + i64::from(self.day_of_year())).rem_euclid(7) as u32
    }
}

/// `now` in the words of `format`. What a directive says comes from where the directive does.
pub(crate) fn strftime(format: &Text, now: &CivilTime) -> Result<Text> {
    let mut out = TextBuilder::default();
    let mut chars = format.as_str().char_indices();
    while let Some((at, c)) = chars.next() {
        if c != '%' {
            out.push_slice(format, at..at + c.len_utf8());
            continue;
        }
        let mut directive = chars.next();
        let padded = directive.is_none_or(|(_, c)| c != '-');
        if !padded {
            directive = chars.next();
        }
        let Some((_, directive)) = directive else { return value_error("strftime: the format ends in '%'") };
        out.push(&field(directive, padded, now)?, format.origin_at(at));
        if out.len() > 10_000 {
            return value_error("strftime: the format is too long");
        }
    }
    Ok(out.finish())
}

/// Several fields, written one after the other.
fn fields(format: &str, now: &CivilTime) -> Result<String> {
    Ok(strftime(&format.into(), now)?.as_str().to_owned())
}

fn field(directive: char, padded: bool, now: &CivilTime) -> Result<String> {
    let (hour, minute, second) = (now.second / 3600, now.second / 60 % 60, now.second % 60);
    let number = |n: u32, width: usize| match padded {
        true => format!("{n:0width$}"),
        false => n.to_string(),
    };
    let blank = |n: u32| if padded { format!("{n:2}") } else { n.to_string() };
    let (month, day) = (MONTHS[now.month as usize - 1], DAYS[now.weekday() as usize]);
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let (weekday, yday) = (now.weekday(), now.day_of_year());
    Ok(match directive {
        'Y' => now.year.to_string(),
        'y' => number(now.year.rem_euclid(100) as u32, 2),
        'm' => number(now.month, 2),
        'd' => number(now.day, 2),
        'e' => blank(now.day),
        'j' => number(yday, 3),
        'H' => number(hour, 2),
        'I' => number(hour12, 2),
        'k' => blank(hour),
        'l' => blank(hour12),
        'M' => number(minute, 2),
        'S' => number(second, 2),
        'f' => "000000".to_owned(),
        'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        'B' => month.to_owned(),
        'b' | 'h' => month[..3].to_owned(),
        'A' => day.to_owned(),
        'a' => day[..3].to_owned(),
        'w' => weekday.to_string(),
        'u' => (if weekday == 0 { 7 } else { weekday }).to_string(),
        'U' => number((yday + 6 - weekday) / 7, 2),
        'W' => number((yday + 6 - (weekday + 6) % 7) / 7, 2),
        'F' => fields("%Y-%m-%d", now)?,
        'T' | 'X' => fields("%H:%M:%S", now)?,
        'R' => fields("%H:%M", now)?,
        'D' | 'x' => fields("%m/%d/%y", now)?,
        'c' => fields("%a %b %e %H:%M:%S %Y", now)?,
        'Z' | 'z' => String::new(),
        'n' => "\n".to_owned(),
        't' => "\t".to_owned(),
        '%' => "%".to_owned(),
        other => return value_error(format!("strftime: '%{other}' is not known")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, want) in [
            (0, "Thursday 1970-01-01 00:00:00 001 4"),
            (951_782_400, "Tuesday 2000-02-29 00:00:00 060 2"),
            (1_763_640_000, "Thursday 2025-11-20 12:00:00 324 4"),
            (-1, "Wednesday 1969-12-31 23:59:59 365 3"),
            (4_107_542_399, "Sunday 2100-02-28 23:59:59 059 0"),
            (4_107_542_400, "Monday 2100-03-01 00:00:00 060 1"),
        ] {
            assert_eq!(fields("%A %F %T %j %w", &CivilTime::from_unix(seconds)).unwrap(), want);
        }
    }

    #[test]
    fn fields_may_go_without_zeros() {
        let now = CivilTime::from_unix(1_767_312_123);
        assert_eq!(
            fields("%d %-d %e %b %B %y %I %-I %p %%", &now).unwrap(),
            "02 2  2 Jan January 26 12 12 AM %"
        );
        assert!(fields("%Q", &now).is_err() && fields("%", &now).is_err());
    }
}
