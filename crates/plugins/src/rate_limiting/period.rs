//! Calendar windows in UTC.

/// The periods that requests are counted in, shortest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Period {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Year,
}

const DAY: u64 = 86_400;

impl Period {
    pub(super) const ALL: [Period; 6] =
        [Period::Second, Period::Minute, Period::Hour, Period::Day, Period::Month, Period::Year];

    /// The header fields that tell its limit, and what is left of it.
    pub(super) fn fields(self) -> (&'static str, &'static str) {
        match self {
            Period::Second => ("X-RateLimit-Limit-Second", "X-RateLimit-Remaining-Second"),
            Period::Minute => ("X-RateLimit-Limit-Minute", "X-RateLimit-Remaining-Minute"),
            Period::Hour => ("X-RateLimit-Limit-Hour", "X-RateLimit-Remaining-Hour"),
            Period::Day => ("X-RateLimit-Limit-Day", "X-RateLimit-Remaining-Day"),
            Period::Month => ("X-RateLimit-Limit-Month", "X-RateLimit-Remaining-Month"),
            Period::Year => ("X-RateLimit-Limit-Year", "X-RateLimit-Remaining-Year"),
        }
    }

    /// As the configuration and Kong's counters name it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Period::Second => "second",
            Period::Minute => "minute",
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Month => "month",
            Period::Year => "year",
        }
    }

    /// The most seconds that a window lasts.
    pub(super) fn longest(self) -> u64 {
        match self {
            Period::Month => 31 * DAY,
            Period::Year => 366 * DAY,
            other => other.seconds(),
        }
    }

    /// Its length as clients are told it, in seconds: months have 30 days, years 365.
    pub(super) fn seconds(self) -> u64 {
        match self {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3600,
            Period::Day => DAY,
            Period::Month => 30 * DAY,
            Period::Year => 365 * DAY,
        }
    }

    /// When the window began that `now` lies in; both in seconds since 1970.
    pub(super) fn start(self, now: u64) -> u64 {
        match self {
            Period::Second | Period::Minute | Period::Hour | Period::Day => {
                now - now % self.seconds()
            }
            Period::Month => {
                let (_, _, day) = civil(now / DAY);
                (now / DAY - (day - 1)) * DAY
            }
            Period::Year => {
                let (year, _, _) = civil(now / DAY);
                days_before(year) * DAY
            }
        }
    }
}

/// Year, month and day of the month of a day, counted from 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years that begin in March have their leap day at the end; eras of 400 years are alike.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The days from 1970-01-01 to the first day of a year.
fn days_before(year: u64) -> u64 {
    let past = year - 1;
    365 * (year - 1970) + (past / 4 - past / 100 + past / 400)
        - (1969 / 4 - 1969 / 100 + 1969 / 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_with_the_calendar() {
        let starts = Period::ALL.map(|period| period.start(1_553_263_548));
        let expected = [
            1_553_263_548,
            1_553_263_500,
            1_553_263_200,
            1_553_212_800,
            1_551_398_400,
            1_546_300_800,
        ];
        assert_eq!(starts, expected);
    }

    #[test]
    fn leap_days_belong_to_february() {
        let check = |now: u64, month: u64, year: u64| {
            assert_eq!((Period::Month.start(now), Period::Year.start(now)), (month, year), "{now}");
        };
        check(0, 0, 0);
        check(1_709_251_199, 1_706_745_600, 1_704_067_200); // 2024-02-29T23:59:59Z
        check(1_709_251_200, 1_709_251_200, 1_704_067_200); // 2024-03-01
        check(4_107_542_400, 4_107_542_400, 4_102_444_800); // 2100-03-01, no leap year
        check(1_735_689_599, 1_733_011_200, 1_704_067_200); // 2024-12-31T23:59:59Z
    }
}
