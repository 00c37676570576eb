//! Word pieces of other languages, which the encoder's vocabulary lacks, as mixtures of words that it has and that mean nearly the same. How
//! they were found is told in `training/guard/mixtures.py`; the file has the number of pieces, a record of each, and the pieces, one a line.

use super::weights::DetectorError;
use std::sync::Arc;
use torchless_formats::{Bytes, Tensor};

/// The file that is part of the program.
const INSIDE: &[u8] = include_bytes!("../../../../assets/guard/mixtures.bin");
/// Its size in bytes.
#[cfg(test)]
pub(super) const SIZE: usize = INSIDE.len();
/// Words of a mixture.
const PARTS: usize = 3;
/// Of each word its place in the vocabulary, in two bytes, then how much of it there is, in one.
const RECORD: usize = 3 * PARTS;
/// What says how much there is of a word that counts whole.
const WHOLE: f32 = 160.0;

/// Pieces as BERT writes them, with a record of each.
#[derive(Debug)]
pub(super) struct Mixtures<'a> {
    records: &'a [[u8; RECORD]],
    pieces: Vec<&'a str>,
}

impl Mixtures<'static> {
    /// Those that are part of the program.
    pub(super) fn inside() -> Result<Self, DetectorError> {
        Self::read(INSIDE)
    }
}

impl<'a> Mixtures<'a> {
    fn read(file: &'a [u8]) -> Result<Self, DetectorError> {
        let damaged = |why: &str| DetectorError::Damaged(format!("its pieces of other languages: {why}"));
        let (count, rest) =
            file.split_first_chunk().ok_or_else(|| damaged("they end before their number"))?;
        let (records, listed) = usize::try_from(u32::from_le_bytes(*count))
            .ok()
            .and_then(|count| rest.split_at_checked(count.checked_mul(RECORD)?))
            .ok_or_else(|| damaged("they end within their records"))?;
        let pieces: Vec<&str> =
            std::str::from_utf8(listed).map_err(|e| damaged(&e.to_string()))?.lines().collect();
        let records = records.as_chunks().0;
        if pieces.len() != records.len() {
            let why = format!("there are {} of them and {} records", pieces.len(), records.len());
            return Err(damaged(&why));
        }
        Ok(Self { records, pieces })
    }

    /// The pieces as GGUF lists them: a mark before the first of a word instead of one before the others.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Vec<u8>> {
        self.pieces.iter().map(|piece| match piece.strip_prefix("##") {
            Some(within) => within.as_bytes().to_vec(),
            None => format!("\u{2581}{piece}").into_bytes(),
        })
    }

    /// `table`, `[words, width]`, with a row for each piece below those of its words, in the same type.
    pub(super) fn below(&self, table: &Tensor) -> Result<Tensor, DetectorError> {
        let unusable = |why: String| DetectorError::Encoder(format!("its word vectors: {why}"));
        let (rows, width) = (table.rows(), table.cols());
        if table.is_empty() {
            return Err(unusable("there are none".to_owned()));
        }
        let (mut data, own) = (table.data.to_vec(), table.data.len());
        let size = own / rows;
        data.resize(own + size * self.records.len(), 0);
        let (mut word, mut mixed) = (vec![0.0; width], vec![0.0; width]);
        for (record, out) in self.records.iter().zip(data[own..].chunks_exact_mut(size)) {
            mixed.fill(0.0);
            for (place, share) in mixture(record) {
                if place >= rows {
                    return Err(unusable(format!("there is no row {place}, they have {rows}")));
                }
                table.decode_row(place, &mut word);
                mixed.iter_mut().zip(&word).for_each(|(sum, x)| *sum += share * x);
            }
            if !table.ty.encode(&mixed, out, &mut []) {
                return Err(unusable(format!("they are {}, which nothing can be added to", table.ty)));
            }
        }
        let shape = vec![rows + self.records.len(), width];
        Tensor::new(table.name.as_str(), table.ty, shape, Bytes::new(Arc::new(data)), None)
            .map_err(|e| unusable(e.to_string()))
    }
}

/// The words of a record by their places, and how much there is of each.
fn mixture(record: &[u8; RECORD]) -> impl Iterator<Item = (usize, f32)> {
    let (places, shares) = record.split_at(2 * PARTS);
    let places = places.as_chunks().0.iter().map(|place| usize::from(u16::from_le_bytes(*place)));
    places.zip(shares.iter().map(|share| f32::from(*share) / WHOLE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::reader;

    const PLACES: [u16; 6] = [0, 2, 1, 2, 0, 0];
    const SHARES: [u8; 6] = [160, 80, 0, 0, 16, 0];

    fn file(pieces: &str) -> Vec<u8> {
        let mut out = 2u32.to_le_bytes().to_vec();
        for (places, shares) in PLACES.chunks(PARTS).zip(SHARES.chunks(PARTS)) {
            out.extend(places.iter().flat_map(|place| place.to_le_bytes()));
            out.extend(shares);
        }
        out.extend(pieces.as_bytes());
        out
    }

    fn table(values: &[f32]) -> Tensor {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let shape = vec![values.len() / 2, 2];
        let known = torchless_formats::open_bytes(Arc::new(reader::INSIDE)).unwrap();
        let ty = known.tensors.get("token_embd_norm.weight").unwrap().ty;
        Tensor::new("words", ty, shape, Bytes::new(Arc::new(bytes)), None).unwrap()
    }

    #[test]
    fn a_piece_is_a_mixture_of_words() {
        let file = file("вы\n##ход");
        let read = Mixtures::read(&file).unwrap();
        assert_eq!(read.tokens().collect::<Vec<_>>(), ["\u{2581}вы".as_bytes(), "ход".as_bytes()]);
        let below = read.below(&table(&[1.0, 2.0, 9.0, 9.0, 4.0, -4.0])).unwrap();
        assert_eq!(below.shape, [5, 2]);
        let mut rows = [[0.0; 2]; 5];
        rows.iter_mut().enumerate().for_each(|(i, row)| below.decode_row(i, row));
        assert_eq!(rows, [[1.0, 2.0], [9.0, 9.0], [4.0, -4.0], [3.0, 0.0], [0.1, 0.2]]);
    }

    #[test]
    fn damaged_files_are_refused() {
        let whole = file("вы\n##ход");
        let said = |file: &[u8]| Mixtures::read(file).unwrap_err().to_string();
        assert!(said(&whole[..3]).contains("before their number"));
        assert!(said(&whole[..21]).contains("within their records"));
        assert!(said(&[&[255; 4], &whole[4..]].concat()).contains("within their records"));
        assert!(said(&whole[..whole.len() - 1]).contains("utf-8"));
        assert!(said(&file("вы")).contains("there are 1 of them and 2 records"));
        let read = Mixtures::read(&whole).unwrap();
        let short = read.below(&table(&[1.0, 2.0, 9.0, 9.0])).unwrap_err().to_string();
        assert!(short.contains("there is no row 2, they have 2"), "{short}");
        assert!(read.below(&table(&[])).is_err());
    }

    #[test]
    fn what_is_inside_fits_what_it_is_made_of() {
        let inside = Mixtures::inside().unwrap();
        assert!(inside.pieces.iter().all(|piece| !piece.trim_start_matches("##").is_empty()));
        let mut sorted = inside.pieces.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), inside.pieces.len());
    }
}
