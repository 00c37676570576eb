//! The largest values of rows whose columns lie apart: each device lists those of its columns.

use super::Sharded;
use crate::DeviceError;
use crate::ops::{BufId, Largest, Listed};
use std::cmp::Ordering;
use torchless_base::{Logits, Scored, TokenId};

impl Sharded {
    /// As many as every device lists.
    pub(super) fn most_of_all(&self) -> usize {
        self.devices.iter().map(|device| device.most_listed()).min().unwrap_or(0)
    }

    /// Lists of all devices, joined row by row.
    pub(super) fn list_apart(
        &mut self,
        op: &Largest<'_>,
        (ids, pieces): (&[BufId], usize),
        lists: &mut Logits,
    ) -> Result<Listed, DeviceError> {
        let width = self.width(op.input);
        let mut parts = Vec::with_capacity(ids.len());
        for (k, id) in ids.iter().enumerate() {
            let mut part = Logits::default();
            part.reset_lists();
            if self.devices[k].largest(&Largest { input: *id, ..*op }, &mut part)? == Listed::NotNumbers {
                return Ok(Listed::NotNumbers);
            }
            parts.push((self.range(width, pieces, k).start, part));
        }
        for row in 0..op.rows {
            let temperature = op.temperatures.get(row).copied().unwrap_or(0.0);
            join(&parts, row, (op.count, temperature), lists);
        }
        Ok(Listed::All)
    }
}

/// Adds the list of a row from those of its parts, each with the number of its first column.
fn join(parts: &[(usize, Logits)], row: usize, (count, temperature): (usize, f32), lists: &mut Logits) {
    let of = |part: &Logits| part.list(row).unwrap_or_default().to_vec();
    let moved =
        |first: usize, scored: Scored| Scored { token: TokenId(scored.token.0 + first as u32), ..scored };
    let mut all: Vec<Scored> = parts
        .iter()
        .flat_map(|(first, part)| of(part).into_iter().map(|scored| moved(*first, scored)))
        .collect();
    // The parts come in the order of their columns, so that of equal values the smaller ids stay first.
    all.sort_by(|a, b| b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal));
    let largest = all.first().map(|scored| scored.logit);
    all.truncate(count);
    lists.push_list(all);
    if temperature > 0.0
        && let Some(mass) = largest.and_then(|largest| mass(parts, row, (largest, temperature)))
    {
        lists.weigh_last(mass);
    }
}

/// What a row weighs against its largest value: each part was weighed against its own. `None` where one was not.
fn mass(parts: &[(usize, Logits)], row: usize, (largest, temperature): (f32, f32)) -> Option<f32> {
    let mut sum = 0.0;
    for (_, part) in parts {
        let Some(own) = part.list(row).and_then(|list| list.first()) else { continue };
        let below = (f64::from(own.logit) - f64::from(largest)) / f64::from(temperature);
        sum += f64::from(part.mass(row)?) * below.exp();
    }
    Some(sum as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of rows with its first column, its values and their mass at a temperature.
    fn part(first: usize, values: &[(u32, f32)], mass: f32) -> (usize, Logits) {
        let mut lists = Logits::default();
        lists.reset_lists();
        lists.push_list(values.iter().map(|(id, logit)| Scored { token: TokenId(*id), logit: *logit }));
        lists.weigh_last(mass);
        (first, lists)
    }

    #[test]
    fn lists_are_joined_in_order_and_masses_weighed_anew() {
        let (t, row) = (2.0_f32, [1.0_f32, 3.0, 3.0, -5.0, 3.0, 2.0]);
        let mass_of =
            |values: &[f32], largest: f32| values.iter().map(|x| ((x - largest) / t).exp()).sum::<f32>();
        let parts = [
            part(0, &[(1, 3.0), (2, 3.0), (0, 1.0)], mass_of(&row[..3], 3.0)),
            part(3, &[(1, 3.0), (2, 2.0), (0, -5.0)], mass_of(&row[3..], 3.0)),
        ];
        let mut lists = Logits::default();
        lists.reset_lists();
        join(&parts, 0, (4, t), &mut lists);
        let ids: Vec<u32> = lists.list(0).unwrap().iter().map(|scored| scored.token.0).collect();
        assert_eq!(ids, [1, 2, 4, 5]);
        assert!((lists.mass(0).unwrap() - mass_of(&row, 3.0)).abs() < 1e-5);
    }

    #[test]
    fn a_part_below_another_counts_for_less_and_one_without_values_for_nothing() {
        let parts = [part(0, &[(0, 10.0)], 1.5), part(4, &[(3, 8.0)], 2.0), part(8, &[], 0.0)];
        let mut lists = Logits::default();
        lists.reset_lists();
        join(&parts, 0, (1, 0.5), &mut lists);
        assert_eq!(lists.list(0).unwrap(), [Scored { token: TokenId(0), logit: 10.0 }]);
        let expected = 1.5 + 2.0 * (-4.0_f32).exp();
        assert!((lists.mass(0).unwrap() - expected).abs() < 1e-6);
    }

    #[test]
    fn a_row_without_values_has_an_empty_list_and_no_mass() {
        let parts = [part(0, &[], 0.0), part(2, &[], 0.0)];
        let mut lists = Logits::default();
        lists.reset_lists();
        join(&parts, 0, (3, 1.0), &mut lists);
        assert_eq!((lists.list(0).unwrap().len(), lists.mass(0)), (0, None));
    }
}
