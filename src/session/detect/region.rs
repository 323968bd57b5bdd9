//! The parts of a screen that rules speak of. Pure.

use serde::{Deserialize, Serialize};

use super::View;
use super::input::Input;
use super::text::{bare, is_line};

/// A part of a screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// Everything.
    Screen,
    /// From the input line on, as what stands above it is history; everything
    /// where no input line is seen.
    #[default]
    Current,
    /// The input line, up to the row of the cursor.
    Input,
    AboveInput,
    BelowInput,
}

/// A screen cut into rows that are read: without frames, blank rows and lines,
/// in small letters.
#[derive(Debug)]
pub(super) struct Cut {
    /// Each with its number on the screen, from 0.
    rows: Vec<(usize, String)>,
    /// The rows of the input line, as indices into `rows`.
    input: Option<(usize, usize)>,
}

impl Cut {
    pub(super) fn new(view: &View, input: Option<&Input>) -> Self {
        let rows: Vec<(usize, String)> = (view.rows.iter().enumerate())
            .map(|(number, row)| (number, bare(row).1.to_lowercase()))
            .filter(|(_, row)| !row.is_empty() && !is_line(row))
            .collect();
        let index = |number: usize| rows.partition_point(|(at, _)| *at < number);
        let input = input.map(|input| (index(input.first), index(input.last + 1)));
        Self { rows, input }
    }

    /// The rows of a region; `most` of those that are nearest to the input
    /// line, or to the lower end where a region has none beside it.
    pub(super) fn region(&self, region: Region, most: Option<usize>) -> &[(usize, String)] {
        let all = &self.rows[..];
        let most = most.unwrap_or(all.len());
        let (rows, from_start) = match (region, self.input) {
            (Region::Screen, _) | (Region::Current, None) => (all, false),
            (Region::Current, Some((first, _))) => (&all[first..], false),
            (Region::Input, Some((first, end))) => (&all[first..end], true),
            (Region::AboveInput, Some((first, _))) => (&all[..first], false),
            (Region::BelowInput, Some((_, end))) => (&all[end..], true),
            (Region::Input | Region::AboveInput | Region::BelowInput, None) => (&all[..0], true),
        };
        let most = most.min(rows.len());
        if from_start {
            &rows[..most]
        } else {
            &rows[rows.len() - most..]
        }
    }
}
